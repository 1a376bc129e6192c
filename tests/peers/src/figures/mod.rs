//! The figures, one module each.

mod bodies;
mod function;
mod redis;
mod replay;
mod requests;
mod sqlite;
mod step;
mod store;
mod transaction;

pub use bodies::{KINDS, bodies, of_storage};
pub use function::function;
pub use redis::{cluster, redis};
pub use replay::replay;
pub use requests::{guard, request_in_memory, requests, seen};
pub use sqlite::sqlite;
pub use step::step;
pub use store::{our_round, our_store, store, their_round, their_store};
pub use transaction::transaction;
