mod statements;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::{IDEMPOTENCY, INDEX_SUFFIX, Table};

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

ALTER TABLE cratestack_idempotency
    SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

ALTER TABLE cratestack_idempotency
    ADD COLUMN IF NOT EXISTS steps BYTEA,
    ADD COLUMN IF NOT EXISTS steps_token UUID;
";

/// Where the table is and how it is laid out there: what the text of its DDL depends on besides dialect and version.
///
/// ```
/// use cratestack_schema::{Dialect, Layout, TableName};
///
/// let layout = Layout::new(TableName::new(Some("payments"), "keys")?);
/// let ddl = layout.ddl(Dialect::Postgres, 1)?;
/// assert!(ddl.starts_with(r#"CREATE TABLE IF NOT EXISTS "payments"."keys" ("#));
/// assert!(ddl.contains(r#"CREATE INDEX IF NOT EXISTS "keys_expires_idx""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    table: Table,
    name: TableName,
    partitions: Option<u16>,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(TableName::default())
    }
}

impl Layout {
    /// A plain table of this name.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Layout, TableName};
    ///
    /// let layout = Layout::new(TableName::default());
    /// assert_eq!(layout.ddl(Dialect::Postgres, 2), IDEMPOTENCY.ddl(Dialect::Postgres, 2));
    /// ```
    pub fn new(name: TableName) -> Self {
        Self { table: IDEMPOTENCY, name, partitions: None }
    }

    /// Spread over this many hash partitions, which each have a vacuum of their own. Postgres only.
    ///
    /// A key is found in its partition alone, so a store on the table does nothing else than on a plain one.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// let ddl = Layout::default().partitions(4).ddl(Dialect::Postgres, 1)?;
    /// assert!(ddl.contains(") PARTITION BY HASH (principal_fingerprint, key);"));
    /// assert_eq!(ddl.matches("PARTITION OF").count(), 4);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    #[must_use]
    pub fn partitions(mut self, count: u16) -> Self {
        self.partitions = (count > 0).then_some(count);
        self
    }

    /// The table's name.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Layout::default().name().table(), "cratestack_idempotency");
    /// ```
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The name of the table's index.
    ///
    /// ```
    /// use cratestack_schema::{IDEMPOTENCY, Layout};
    ///
    /// assert_eq!(Layout::default().index_name(), IDEMPOTENCY.index.name);
    /// ```
    pub fn index_name(&self) -> String {
        self.name.derived(INDEX_SUFFIX)
    }

    /// As [`Table::ddl`], for the table of this layout.
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// assert!(Layout::default().ddl(Dialect::Postgres, 9).is_err());
    /// ```
    pub fn ddl(&self, dialect: Dialect, version: u32) -> Result<String, UnknownVersion> {
        self.check_version(version)?;
        let created = if dialect == Dialect::Postgres { 1 } else { version };
        let mut statements = self.creation(dialect, created);
        for later in created + 1..=version {
            statements.extend(self.migration(dialect, later)?);
        }
        Ok(statements.join("\n\n") + "\n")
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitions.is_some()
    }

    pub(crate) fn check_version(&self, version: u32) -> Result<(), UnknownVersion> {
        let latest = self.table.latest();
        if (1..=latest).contains(&version) { Ok(()) } else { Err(UnknownVersion { asked: version, latest }) }
    }
}

impl Table {
    /// The text that creates the table in `version`, under its own name; [`Layout`] is for another.
    ///
    /// For Postgres the text of each version is that of the one before and more, so it also upgrades an older table in
    /// place. SQLite cannot say `ADD COLUMN IF NOT EXISTS`: there the text is for a database without the table, and
    /// [`migration`](Self::migration) is for one with it.
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
        self.layout().ddl(dialect, version)
    }

    /// The statements that lead to `version` from the one before; for version 1, from nothing.
    ///
    /// For SQLite each statement adds one column, in the order of [`columns`](Self::columns).
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY};
    ///
    /// let steps = IDEMPOTENCY.migration(Dialect::Postgres, 2)?;
    /// assert!(steps[0].starts_with("ALTER TABLE cratestack_idempotency"));
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn migration(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        self.layout().migration(dialect, version)
    }

    fn layout(self) -> Layout {
        Layout { table: self, name: TableName::of(self.name), partitions: None }
    }
}

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
