//! The throw-away Postgres of the workspace's tests, built once more here because this is another workspace.

#[path = "../../src/keeper.rs"]
#[allow(dead_code)]
mod keeper;
#[path = "../../src/packages.rs"]
#[allow(dead_code)]
mod packages;
#[path = "../../src/postgres/mod.rs"]
#[allow(dead_code, unused_imports)]
pub mod postgres;

pub use postgres::TestDatabase;
