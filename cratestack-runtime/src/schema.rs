//! The table: its name, the statements that make it, and what a look at one finds.
//!
//! `migrate()` and `check()` of a store need nothing of this but a name, where it is not the default one.
//!
//! ```
//! use cratestack_runtime::PostgresStore;
//! use cratestack_runtime::schema::{NameError, TableName};
//!
//! # fn keys(pool: sqlx::PgPool) -> Result<PostgresStore, NameError> {
//! PostgresStore::new(pool).table(TableName::new(Some("payments"), "Idempotency Keys")?)
//! # }
//! ```

#[cfg(feature = "postgres")]
pub use cratestack_schema::POSTGRES_DDL;
#[cfg(feature = "redis")]
pub use cratestack_schema::redis::{KeyPrefix, PrefixError};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use cratestack_schema::{Finding, FindingKind, NameError, Report, TableName};
