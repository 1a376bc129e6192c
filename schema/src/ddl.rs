use std::fmt;

use crate::{Column, Dialect, NamedTable, Table, TableName};

/// The latest DDL for Postgres: creates the table, or upgrades one of an older version in place.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, POSTGRES_DDL};
///
/// assert_eq!(IDEMPOTENCY.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap(), POSTGRES_DDL);
/// ```
pub const POSTGRES_DDL: &str = "\
CREATE TABLE IF NOT EXISTS cratestack_idempotency (
    principal_fingerprint TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    reservation_id UUID NOT NULL,
    response_status INT,
    response_headers BYTEA,
    response_body BYTEA,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal_fingerprint, key)
);

CREATE INDEX IF NOT EXISTS cratestack_idempotency_expires_idx
    ON cratestack_idempotency (expires_at);

ALTER TABLE cratestack_idempotency
    ADD COLUMN IF NOT EXISTS lease_expires_at TIMESTAMPTZ,
    ADD COLUMN IF NOT EXISTS attempt INT;

ALTER TABLE cratestack_idempotency SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.02
);
";

/// A version that the table never had.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY};
///
/// let error = IDEMPOTENCY.ddl(Dialect::Postgres, 9).unwrap_err();
/// assert_eq!(error.to_string(), "the table has no version 9; there are versions 1 to 3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersion {
    asked: u32,
    latest: u32,
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table has no version {}; there are versions 1 to {}", self.asked, self.latest)
    }
}

impl std::error::Error for UnknownVersion {}

impl Table {
    /// The table under a name of your own.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::new(Some("billing"), "keys")?);
    /// assert!(table.ddl(Dialect::Postgres, 1)?.contains("TABLE IF NOT EXISTS billing.keys ("));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named(self, name: TableName) -> NamedTable {
        NamedTable::new(self, name)
    }

    fn with_default_name(self) -> NamedTable {
        self.named(TableName::default())
    }

    /// The text that creates the table in `version`, under its own name; see [`NamedTable::ddl`].
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY};
    ///
    /// let first = IDEMPOTENCY.ddl(Dialect::Postgres, 1)?;
    /// let second = IDEMPOTENCY.ddl(Dialect::Postgres, 2)?;
    /// assert!(second.starts_with(&first));
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn ddl(&self, dialect: Dialect, version: u32) -> Result<String, UnknownVersion> {
        self.with_default_name().ddl(dialect, version)
    }

    /// The statements that lead to `version` from the one before; see [`NamedTable::migration`].
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY};
    ///
    /// let steps = IDEMPOTENCY.migration(Dialect::Postgres, 2)?;
    /// assert_eq!(steps.len(), 1);
    /// assert!(steps[0].starts_with("ALTER TABLE cratestack_idempotency"));
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn migration(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        self.with_default_name().migration(dialect, version)
    }

    pub(crate) fn known(&self, version: u32) -> Result<(), UnknownVersion> {
        let latest = self.latest();
        if (1..=latest).contains(&version) { Ok(()) } else { Err(UnknownVersion { asked: version, latest }) }
    }
}

pub(crate) fn definition(column: &Column, dialect: Dialect) -> String {
    let mut text = format!("{} {}", column.name, column.data_type(dialect));
    if !column.nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = column.default_expression(dialect) {
        text.push_str(" DEFAULT ");
        text.push_str(default);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, IDEMPOTENCY, POSTGRES_DDL};

    // Rows of this shape are out there: the text must not move by a byte.
    const VERSION_1: &str = "\
CREATE TABLE IF NOT EXISTS cratestack_idempotency (
    principal_fingerprint TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    reservation_id UUID NOT NULL,
    response_status INT,
    response_headers BYTEA,
    response_body BYTEA,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal_fingerprint, key)
);

CREATE INDEX IF NOT EXISTS cratestack_idempotency_expires_idx
    ON cratestack_idempotency (expires_at);
";

    #[test]
    fn version_1_is_byte_for_byte_what_was_published() {
        assert_eq!(IDEMPOTENCY.ddl(Dialect::Postgres, 1).unwrap(), VERSION_1);
    }

    #[test]
    fn the_literal_is_the_rendering() {
        assert_eq!(IDEMPOTENCY.ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap(), POSTGRES_DDL);
    }

    #[test]
    fn every_postgres_version_starts_with_the_one_before() {
        for version in 2..=IDEMPOTENCY.latest() {
            let before = IDEMPOTENCY.ddl(Dialect::Postgres, version - 1).unwrap();
            let after = IDEMPOTENCY.ddl(Dialect::Postgres, version).unwrap();
            assert!(after.starts_with(&before) && after.len() > before.len());
        }
    }

    #[test]
    fn sqlite_creates_every_version_in_one_statement() {
        let first = IDEMPOTENCY.ddl(Dialect::Sqlite, 1).unwrap();
        assert_eq!(IDEMPOTENCY.ddl(Dialect::Sqlite, 2), IDEMPOTENCY.ddl(Dialect::Sqlite, 3));
        let second = IDEMPOTENCY.ddl(Dialect::Sqlite, 2).unwrap();
        assert!(!first.contains("lease_expires_at"));
        assert!(second.contains("    lease_expires_at INTEGER,\n    attempt INTEGER,\n    PRIMARY KEY"));
        for text in [first, second] {
            assert_eq!(text.matches("CREATE TABLE").count(), 1);
            assert!(!text.contains("ALTER TABLE"));
            assert!(text.contains(") STRICT;\n\nCREATE INDEX"));
        }
    }

    #[test]
    fn a_column_of_a_later_version_can_be_added_to_rows_that_are_there() {
        for column in IDEMPOTENCY.columns.iter().filter(|column| column.since > 1) {
            assert!(column.nullable, "{} would refuse rows written by an older program", column.name);
        }
    }

    #[test]
    fn later_columns_come_last() {
        assert!(IDEMPOTENCY.columns.is_sorted_by_key(|column| column.since));
    }

    #[test]
    fn versions_that_are_not_there_are_refused() {
        for dialect in Dialect::ALL {
            for version in [0, IDEMPOTENCY.latest() + 1, u32::MAX] {
                assert!(IDEMPOTENCY.ddl(dialect, version).is_err());
                assert!(IDEMPOTENCY.migration(dialect, version).is_err());
            }
        }
    }
}
