//! What both ways and a rolling upgrade are tested with. The throw-away Postgres of the workspace's tests, their client
//! and their bank are built once more here because this is another workspace.

#[path = "../../src/fleet/bank.rs"]
pub mod bank;
#[path = "../../src/client.rs"]
pub mod client;
#[path = "../../src/keeper.rs"]
#[allow(dead_code)]
mod keeper;
#[path = "../../src/packages.rs"]
mod packages;
#[path = "../../src/postgres/mod.rs"]
// Some of it is for the workspace's tests alone.
#[allow(unused_imports)]
pub mod postgres;
pub mod versions;

pub use bank::{Bank, Setup};
pub use client::{Answer, Client};
pub use postgres::TestDatabase;
