//! The stores: each implements the contract of [`crate::store`] over one place, and each is behind a feature.
//!
//! What two of them share lives beside them: `line` is where calls meet that go together, `open` a transaction of either,
//! `row` turns a row into an answer, `renewal` tells whether a lease still runs, `refusal` makes an error of sqlx one of ours.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod line;
mod memory;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod open;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod refusal;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod renewal;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
