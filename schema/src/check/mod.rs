//! Is the table in a database the one that programs expect?
//!
//! The library asks nothing itself: [`NamedTable::inspection`] is a query for whoever has a connection, and
//! [`NamedTable::inspect`] reads its rows.

mod facts;
mod postgres;
mod report;
mod sqlite;

pub use facts::{Inspection, Step, Unusable};
pub use report::{Drift, Finding, Report};

use crate::{Dialect, NamedTable};

/// How many columns a row of [`NamedTable::inspection`] has, all of them text or NULL.
///
/// ```
/// assert!(cratestack_schema::INSPECTION_COLUMNS > 1);
/// ```
pub const INSPECTION_COLUMNS: usize = 10;

impl NamedTable {
    /// The query that reads everything that [`inspect`](Self::inspect) needs to know. It reads the catalogue alone, and
    /// takes no lock that anybody would wait for.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let query = IDEMPOTENCY.named(TableName::default()).inspection(Dialect::Postgres);
    /// assert!(query.contains("pg_catalog.pg_class"));
    /// ```
    pub fn inspection(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres => postgres::query(self),
            Dialect::Sqlite => sqlite::query(self),
        }
    }

    /// What the rows of [`inspection`](Self::inspection) say.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// // No rows: there is no such table.
    /// let found = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Sqlite, []);
    /// assert!(!found.is_there());
    /// ```
    pub fn inspect(
        &self,
        dialect: Dialect,
        rows: impl IntoIterator<Item = [Option<String>; INSPECTION_COLUMNS]>,
    ) -> Inspection {
        Inspection::new(self.clone(), dialect, rows)
    }
}
