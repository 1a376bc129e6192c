mod create;
mod layout;
#[cfg(test)]
mod tests;
mod upgrade;

pub use self::layout::{Layout, UnknownVersion};
use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::Table;

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
";

impl Layout {
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
        let mut statements = match dialect {
            Dialect::Postgres => self.creation(dialect, 1),
            Dialect::Sqlite => self.creation(dialect, version),
        };
        if dialect == Dialect::Postgres {
            for later in 2..=version {
                statements.extend(self.migration(dialect, later)?);
            }
        }
        Ok(statements.join("\n\n") + "\n")
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
