//! The figures, one module each.

mod replay;
mod requests;
mod sqlite;
mod store;
mod transaction;

pub use replay::replay;
pub use requests::{guard, requests, seen};
pub use sqlite::sqlite;
pub use store::{bodies, our_round, processes, store, their_round};
pub use transaction::transaction;
