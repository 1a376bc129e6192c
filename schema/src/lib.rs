//! The idempotency table as data, and the DDL that is rendered from it.
//!
//! [`IDEMPOTENCY`] describes the table once, column by column, each with the version that added it; everything else is
//! derived. The stores of `cratestack-runtime` take their names from here, so a column is spelled in one place.
//!
//! ```
//! use cratestack_schema::{Dialect, IDEMPOTENCY, POSTGRES_DDL};
//!
//! // What `cratestack-schema ddl` prints: it creates the table, or upgrades one of an older version in place.
//! let ddl = IDEMPOTENCY.ddl(Dialect::Postgres, IDEMPOTENCY.latest())?;
//! assert_eq!(ddl, POSTGRES_DDL);
//!
//! // What leads from one version to the next.
//! let steps = IDEMPOTENCY.migration(Dialect::Sqlite, 2)?;
//! assert_eq!(steps[0], "ALTER TABLE cratestack_idempotency ADD COLUMN lease_expires_at INTEGER;");
//! # Ok::<(), cratestack_schema::UnknownVersion>(())
//! ```
//!
//! # Versions
//!
//! Every version stays reachable, since a fleet upgrades one service at a time.
//!
//! | version | what it adds |
//! |---|---|
//! | 1 | the table: who, which key, what was asked, what was answered, until when |
//! | 2 | `lease_expires_at` and `attempt`: how long a silent holder owns a key, and how often it was taken over |
//! | 3 | storage options that keep autovacuum in step (Postgres alone) |
//!
//! A program that knows version 1 alone works on a table of any version: the added columns are nullable and have no
//! default.
//!
//! # Names and layout
//!
//! A table can have any [name](TableName) that the databases take, and lie in [hash partitions](NamedTable::partitioned).
//!
//! ```
//! use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
//!
//! let table = IDEMPOTENCY.named(TableName::new(Some("billing"), "Payment Keys")?);
//! assert!(table.ddl(Dialect::Postgres, 3)?.starts_with("CREATE TABLE IF NOT EXISTS billing.\"Payment Keys\" ("));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A database that is there
//!
//! The library never connects. Where it has to know something, it gives a query and reads the rows:
//! [`NamedTable::inspection`] and [`NamedTable::inspect`] lead to a [`Report`] of what differs, to the statements of an
//! [upgrade](Inspection::upgrade), and to [`Statistics`].
//!
//! # Features
//!
//! The library needs `std` only. The feature `cli` adds the command `cratestack-schema`, and `live` its parts that
//! connect to a database; both are on by default.

#![forbid(unsafe_code)]
mod check;
mod ddl;
mod migration;
mod name;
mod named;
mod shell;
mod statistics;
mod sweep;
mod table;

pub use check::{Drift, Finding, INSPECTION_COLUMNS, Inspection, Report, Step, Unusable};
pub use ddl::{POSTGRES_DDL, UnknownVersion};
pub use migration::{File, Format, Migration, MigrationError};
pub use name::{NameError, TableName};
pub use named::{NamedTable, Partitions, PartitionsError};
pub use statistics::Statistics;
pub use sweep::LOCK_CLASS;
pub use table::{Column, Dialect, IDEMPOTENCY, Index, StorageOption, TABLE, Table, columns};
