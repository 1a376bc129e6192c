//! The throw-away Postgres of the workspace's tests, built once more here because this is another workspace.

#[path = "../../src/packages.rs"]
mod packages;
#[path = "../../src/postgres/mod.rs"]
pub mod postgres;

pub use postgres::TestDatabase;
