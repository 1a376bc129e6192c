//! The stores: each implements the contract of [`crate::store`] over one place. `memory` is always there, the others
//! are behind a feature each.
//!
//! What the SQL stores share is in `sql`. Of that, `sql/batch_queue` knows no SQL: it could serve any store in which
//! one statement can be for many keys.

mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
