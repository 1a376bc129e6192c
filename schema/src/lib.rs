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
//! | 2 | `lease_expires_at` and `attempt`: how long a silent holder owns a key, and how often it was taken over; storage options |
//! | 3 | `steps` and `steps_token`: what a run has done, so that its next attempt does not do it again |
//!
//! A program that knows an older version alone works on the table: the added columns are nullable and have no default.
//!
//! # Feature flags
//!
//! The library needs `std` only: it renders SQL, and compares what a database answered. All features are the command's,
//! `cratestack-schema`, and all are on by default, so that `cargo install --path schema` in a clone of the repository
//! brings all of it. A program that uses the library says `default-features = false`.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` | the command, with `ddl` and `migration`, which connect to nothing |
//! | `live` | `cli`, and the commands that connect: `check`, `stats`, `sweep`, `show`, `list`, `release` and `forget` |
//! | `redis` | `live`, and `check` and `stats` of servers of Valkey and Redis |
//! | `tls` | `live`, and encrypted connections |

#![forbid(unsafe_code)]

mod catalogue;
mod ddl;
mod dialect;
mod files;
mod name;
mod records;
pub mod redis;
mod report;
mod table;
mod upkeep;

pub use catalogue::Fact;
pub use ddl::{Layout, POSTGRES_DDL, UnknownVersion};
pub use dialect::Dialect;
pub use files::{Format, MigrationError, MigrationFile, Numbering};
pub use name::{NameError, TableName};
pub use records::{
    KeyFilter, NAMESPACE_MARK, NamespaceFilter, PrincipalFilter, RecordFilter, RecordState, Removal, Statement,
    StatementValue,
};
pub use report::{Finding, FindingKind, Report};
pub use table::{Column, IDEMPOTENCY, Index, LOCK_CLASS, StorageOption, TABLE, Table, columns};
pub use upkeep::{Stats, has_steps, lease_end};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
