//! The stores: each implements the contract of [`crate::store`] over one place. `memory` is always there, the others
//! are behind a feature each.
//!
//! What the stores share that ask a server or a file is in `batch` (calls that share a round trip), `renewal` and `time`;
//! what the SQL stores share beside that, in `sql`.

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod batch;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod renewal;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod status;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod time;

pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
