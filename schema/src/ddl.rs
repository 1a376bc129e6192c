use std::fmt::{self, Write as _};

use crate::name::quoted;
use crate::table::INDEX_SUFFIX;
use crate::{Column, Dialect, IDEMPOTENCY, StorageOption, Table, TableName};

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

/// A version that the table never had.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY};
///
/// let error = IDEMPOTENCY.ddl(Dialect::Postgres, 9).unwrap_err();
/// assert_eq!(error.to_string(), "the table has no version 9; there are versions 1 to 2");
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    name: TableName,
    partitions: Option<u16>,
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
        Self { name, partitions: None }
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
        known(version)?;
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

    /// As [`Table::migration`], for the table of this layout.
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// assert_eq!(Layout::default().migration(Dialect::Sqlite, 2)?.len(), 2);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn migration(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        known(version)?;
        if version == 1 {
            return Ok(self.creation(dialect, 1));
        }
        let added = IDEMPOTENCY.columns.iter().filter(|column| column.since == version);
        Ok(match dialect {
            // One statement takes the table's lock once, and no reader ever sees half a version.
            Dialect::Postgres => {
                let clauses: Vec<_> = added
                    .map(|column| format!("    ADD COLUMN IF NOT EXISTS {}", definition(column, dialect)))
                    .collect();
                let mut statements = vec![format!("ALTER TABLE {}\n{};", self.name, clauses.join(",\n"))];
                // A partitioned table stores nothing itself; its partitions have their options from the start.
                let options = options(|option| option.since == version);
                if self.partitions.is_none() && !options.is_empty() {
                    statements.push(format!("ALTER TABLE {}\n    SET ({});", self.name, options.join(", ")));
                }
                statements
            }
            Dialect::Sqlite => added.map(|column| self.add_column(dialect, column)).collect(),
        })
    }

    /// The statements that lead from `version` back to the one before; from version 1, to nothing.
    ///
    /// What the version added is lost: reservations then last until their row expires, and from version 1 back every
    /// record is gone.
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// let back = Layout::default().reversal(Dialect::Postgres, 1)?;
    /// assert_eq!(back, ["DROP TABLE IF EXISTS cratestack_idempotency;"]);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn reversal(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        known(version)?;
        if version == 1 {
            return Ok(vec![format!("DROP TABLE IF EXISTS {};", self.name)]);
        }
        let added = IDEMPOTENCY.columns.iter().filter(|column| column.since == version).rev();
        Ok(match dialect {
            Dialect::Postgres => {
                let mut clauses: Vec<_> =
                    added.map(|column| format!("    DROP COLUMN IF EXISTS {}", column.name)).collect();
                let options = IDEMPOTENCY.storage.iter().filter(|option| option.since == version);
                let options: Vec<_> = options.map(|option| option.name).collect();
                if self.partitions.is_none() && !options.is_empty() {
                    clauses.push(format!("    RESET ({})", options.join(", ")));
                }
                vec![format!("ALTER TABLE {}\n{};", self.name, clauses.join(",\n"))]
            }
            Dialect::Sqlite => {
                added.map(|column| format!("ALTER TABLE {} DROP COLUMN {};", self.name, column.name)).collect()
            }
        })
    }

    /// The statement that adds one column to a table that lacks it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Layout};
    ///
    /// let attempt = IDEMPOTENCY.columns.last().unwrap();
    /// assert_eq!(
    ///     Layout::default().add_column(Dialect::Sqlite, attempt),
    ///     "ALTER TABLE cratestack_idempotency ADD COLUMN attempt INTEGER;",
    /// );
    /// ```
    pub fn add_column(&self, dialect: Dialect, column: &Column) -> String {
        let guard = match dialect {
            Dialect::Postgres => "IF NOT EXISTS ",
            Dialect::Sqlite => "",
        };
        format!("ALTER TABLE {} ADD COLUMN {guard}{};", self.name, definition(column, dialect))
    }

    /// The statement that creates the table's index where it is missing.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Layout};
    ///
    /// assert!(Layout::default().create_index(Dialect::Postgres).starts_with("CREATE INDEX IF NOT EXISTS"));
    /// ```
    pub fn create_index(&self, dialect: Dialect) -> String {
        let name = self.index_name();
        // Postgres puts an index beside its table and takes no schema for it; SQLite has it the other way round.
        let (index, table) = match dialect {
            Dialect::Postgres => (quoted(&name), self.name.sql()),
            Dialect::Sqlite => (self.name.beside(&name), quoted(self.name.table())),
        };
        format!("CREATE INDEX IF NOT EXISTS {index}\n    ON {table} ({});", IDEMPOTENCY.index.columns.join(", "))
    }

    /// As [`create_index`](Self::create_index) on Postgres, while others write. It must run outside any transaction,
    /// and a partitioned table cannot have it.
    ///
    /// ```
    /// use cratestack_schema::Layout;
    ///
    /// assert!(Layout::default().create_index_concurrently().starts_with("CREATE INDEX CONCURRENTLY IF NOT EXISTS"));
    /// ```
    pub fn create_index_concurrently(&self) -> String {
        self.create_index(Dialect::Postgres).replacen("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1)
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

    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitions.is_some()
    }

    fn creation(&self, dialect: Dialect, version: u32) -> Vec<String> {
        let partitions = self.partitions.filter(|_| dialect == Dialect::Postgres);
        let mut table = format!("CREATE TABLE IF NOT EXISTS {} (\n", self.name);
        for column in IDEMPOTENCY.columns.iter().filter(|column| column.since <= version) {
            let _ = writeln!(table, "    {},", definition(column, dialect));
        }
        let key = IDEMPOTENCY.primary_key.join(", ");
        let _ = write!(table, "    PRIMARY KEY ({key})\n)");
        if dialect == Dialect::Sqlite {
            // Without it SQLite stores whatever it is given, under any column's type.
            table.push_str(" STRICT");
        }
        if partitions.is_some() {
            let _ = write!(table, " PARTITION BY HASH ({key})");
        }
        table.push(';');
        let mut statements = vec![table];
        if let Some(count) = partitions {
            statements.extend((0..count).map(|number| {
                let partition = self.name.beside(&self.name.derived(&format!("_p{number}")));
                format!(
                    "CREATE TABLE IF NOT EXISTS {partition} PARTITION OF {}\n    \
                     FOR VALUES WITH (MODULUS {count}, REMAINDER {number})\n    \
                     WITH ({});",
                    self.name,
                    options(|_| true).join(", ")
                )
            }));
        }
        statements.push(self.create_index(dialect));
        statements
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
        Layout::default().ddl(dialect, version)
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
        Layout::default().migration(dialect, version)
    }
}

fn options(which: impl Fn(&StorageOption) -> bool) -> Vec<String> {
    let options = IDEMPOTENCY.storage.iter().filter(|option| which(option));
    options.map(|option| format!("{} = {}", option.name, option.value)).collect()
}

pub(crate) fn known(version: u32) -> Result<(), UnknownVersion> {
    let latest = IDEMPOTENCY.latest();
    if (1..=latest).contains(&version) { Ok(()) } else { Err(UnknownVersion { asked: version, latest }) }
}

fn definition(column: &Column, dialect: Dialect) -> String {
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
    use crate::{Dialect, IDEMPOTENCY, Layout, POSTGRES_DDL, TableName};

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

    #[test]
    fn the_index_is_named_after_its_table() {
        assert_eq!(Layout::default().index_name(), IDEMPOTENCY.index.name);
    }

    #[test]
    fn a_schema_is_spelled_where_each_database_wants_it() {
        let layout = Layout::new(TableName::new(Some("app"), "keys").unwrap());
        let index = layout.create_index(Dialect::Postgres);
        assert!(index.contains(r#"EXISTS "keys_expires_idx""#) && index.contains(r#"ON "app"."keys" ("#), "{index}");
        let index = layout.create_index(Dialect::Sqlite);
        assert!(index.contains(r#"EXISTS "app"."keys_expires_idx""#) && index.contains(r#"ON "keys" ("#), "{index}");
    }

    #[test]
    fn sqlite_knows_no_partitions() {
        let layout = Layout::default();
        assert_eq!(layout.clone().partitions(8).ddl(Dialect::Sqlite, 1), layout.ddl(Dialect::Sqlite, 1));
    }
}
