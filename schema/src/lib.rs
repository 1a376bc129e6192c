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
//!
//! A program that knows version 1 alone works on a table of version 2: the added columns are nullable and have no
//! default.
//!
//! # Features
//!
//! The library needs `std` only: it renders SQL, and compares what a database answered. The features are the command's,
//! `cratestack-schema`:
//!
//! - `cli`: `ddl` and `migration`, which connect to nothing;
//! - `live` (on by default): also `check`, `stats` and `sweep`;
//! - `tls`: these over encrypted connections.
//!
//! A program that depends on the library alone says `default-features = false`.

#![forbid(unsafe_code)]
mod catalogue;
mod ddl;
mod files;
mod name;
mod report;
mod table;
mod upkeep;

pub use catalogue::Fact;
pub use ddl::{Layout, POSTGRES_DDL, UnknownVersion};
pub use files::{Format, MigrationError, MigrationFile, Numbering};
pub use name::{NameError, TableName};
pub use report::{Finding, FindingKind, Report};
pub use table::{Column, Dialect, IDEMPOTENCY, Index, StorageOption, TABLE, Table, columns};
pub use upkeep::{LOCK_CLASS, Stats};
