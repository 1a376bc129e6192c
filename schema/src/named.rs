use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::ddl::definition;
use crate::name::identifier;
use crate::{Column, Dialect, StorageOption, Table, TableName, UnknownVersion};

/// A table with its name and layout: what DDL, migrations, checks and the stores' statements are rendered from.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, Partitions, TableName};
///
/// let table = IDEMPOTENCY.named(TableName::new(None, "order")?).partitioned(Partitions::new(4)?);
/// let text = table.ddl(Dialect::Postgres, IDEMPOTENCY.latest())?;
/// assert!(text.contains("PARTITION OF \"order\" FOR VALUES WITH (MODULUS 4, REMAINDER 3)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTable {
    pub(crate) table: Table,
    pub(crate) name: TableName,
    partitions: Option<Partitions>,
}

impl NamedTable {
    pub(crate) fn new(table: Table, name: TableName) -> Self {
        Self { table, name, partitions: None }
    }

    /// In hash partitions on the key, for a table that one autovacuum cannot keep up with. SQLite has none, and its
    /// texts stay as they are.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Partitions, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default()).partitioned(Partitions::new(16)?);
    /// assert_eq!(table.ddl(Dialect::Postgres, 1)?.matches("PARTITION OF").count(), 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn partitioned(mut self, partitions: Partitions) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// What the table is called.
    ///
    /// ```
    /// use cratestack_schema::{IDEMPOTENCY, TableName};
    ///
    /// assert_eq!(IDEMPOTENCY.named(TableName::default()).name().table(), IDEMPOTENCY.name);
    /// ```
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The text that creates the table in `version`.
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
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, POSTGRES_DDL, TableName};
    ///
    /// let text = IDEMPOTENCY.named(TableName::default()).ddl(Dialect::Postgres, IDEMPOTENCY.latest())?;
    /// assert_eq!(text, POSTGRES_DDL);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn ddl(&self, dialect: Dialect, version: u32) -> Result<String, UnknownVersion> {
        self.table.known(version)?;
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

    /// The statements that lead to `version` from the one before; for version 1, from nothing.
    ///
    /// For SQLite each statement adds one column, in the order of [`columns`](Table::columns). A version that changes
    /// nothing there has no statement.
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::new(None, "keys")?);
    /// assert_eq!(table.migration(Dialect::Sqlite, 2)?[1], "ALTER TABLE keys ADD COLUMN attempt INTEGER;");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn migration(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        self.table.known(version)?;
        if version == 1 {
            return Ok(self.creation(dialect, 1));
        }
        let added: Vec<_> = self.table.columns.iter().filter(|column| column.since == version).collect();
        let mut statements = Vec::new();
        match dialect {
            Dialect::Postgres => {
                if !added.is_empty() {
                    statements.push(self.add_columns(&added));
                }
                match self.partitions {
                    // A partitioned table stores nothing itself, and takes no option.
                    Some(partitions) => {
                        statements
                            .extend(partitions.all().filter_map(|n| self.set_storage(&self.partition(n), version)));
                    }
                    None => statements.extend(self.set_storage(&self.name, version)),
                }
            }
            Dialect::Sqlite => statements.extend(added.into_iter().map(|column| self.add_column(dialect, column))),
        }
        Ok(statements)
    }

    /// The statements that lead from `version` back to the one before; from version 1, to nothing.
    ///
    /// # Errors
    ///
    /// When the table has no such version.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default());
    /// assert_eq!(table.rollback(Dialect::Postgres, 1)?, ["DROP TABLE IF EXISTS cratestack_idempotency;"]);
    /// # Ok::<(), cratestack_schema::UnknownVersion>(())
    /// ```
    pub fn rollback(&self, dialect: Dialect, version: u32) -> Result<Vec<String>, UnknownVersion> {
        self.table.known(version)?;
        let table = self.sql(dialect);
        if version == 1 {
            return Ok(vec![format!("DROP TABLE IF EXISTS {table};")]);
        }
        let added = self.table.columns.iter().rev().filter(|column| column.since == version);
        Ok(match dialect {
            Dialect::Postgres => {
                let clauses: Vec<_> =
                    added.map(|column| format!("    DROP COLUMN IF EXISTS {}", column.name)).collect();
                let mut statements = Vec::new();
                if !clauses.is_empty() {
                    statements.push(format!("ALTER TABLE {table}\n{};", clauses.join(",\n")));
                }
                match self.partitions {
                    Some(partitions) => {
                        let each = partitions.all();
                        statements.extend(each.filter_map(|n| self.reset_storage(&self.partition(n), version)));
                    }
                    None => statements.extend(self.reset_storage(&self.name, version)),
                }
                statements
            }
            Dialect::Sqlite => {
                added.map(|column| format!("ALTER TABLE {table} DROP COLUMN {};", column.name)).collect()
            }
        })
    }

    /// The statement that adds one column to a table that lacks it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let attempt = IDEMPOTENCY.columns.last().unwrap();
    /// assert_eq!(
    ///     IDEMPOTENCY.named(TableName::default()).add_column(Dialect::Sqlite, attempt),
    ///     "ALTER TABLE cratestack_idempotency ADD COLUMN attempt INTEGER;",
    /// );
    /// ```
    pub fn add_column(&self, dialect: Dialect, column: &Column) -> String {
        let guard = match dialect {
            Dialect::Postgres => "IF NOT EXISTS ",
            Dialect::Sqlite => "",
        };
        format!("ALTER TABLE {} ADD COLUMN {guard}{};", self.sql(dialect), definition(column, dialect))
    }

    /// The statement that adds columns of one version: it takes the table's lock once, and no reader ever sees half a
    /// version.
    pub(crate) fn add_columns(&self, columns: &[&Column]) -> String {
        let dialect = Dialect::Postgres;
        let clauses: Vec<_> = columns
            .iter()
            .map(|column| format!("    ADD COLUMN IF NOT EXISTS {}", definition(column, dialect)))
            .collect();
        format!("ALTER TABLE {}\n{};", self.sql(dialect), clauses.join(",\n"))
    }

    /// The statement that creates the table's index where it is missing.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::new(Some("billing"), "keys")?);
    /// assert_eq!(
    ///     table.create_index(Dialect::Postgres),
    ///     "CREATE INDEX IF NOT EXISTS keys_expires_idx\n    ON billing.keys (expires_at);",
    /// );
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn create_index(&self, dialect: Dialect) -> String {
        let index = self.index_name();
        let columns = self.table.index.columns.join(", ");
        match dialect {
            // It comes to lie beside its table.
            Dialect::Postgres => {
                let index = identifier(dialect, &index);
                format!("CREATE INDEX IF NOT EXISTS {index}\n    ON {} ({columns});", self.sql(dialect))
            }
            // Here the index says where, and the table must not.
            Dialect::Sqlite => {
                let index = self.name.sibling(index).sql(dialect);
                let table = identifier(dialect, self.name.table());
                format!("CREATE INDEX IF NOT EXISTS {index}\n    ON {table} ({columns});")
            }
        }
    }

    /// [`create_index`](Self::create_index) for a large table of Postgres that is in use: writes go on meanwhile. Not
    /// for partitioned tables, nor inside a transaction.
    ///
    /// ```
    /// use cratestack_schema::{IDEMPOTENCY, TableName};
    ///
    /// let text = IDEMPOTENCY.named(TableName::default()).create_index_concurrently();
    /// assert!(text.starts_with("CREATE INDEX CONCURRENTLY IF NOT EXISTS"));
    /// ```
    pub fn create_index_concurrently(&self) -> String {
        self.create_index(Dialect::Postgres).replacen("INDEX", "INDEX CONCURRENTLY", 1)
    }

    /// The statement that creates the schema where it is missing, if the name has one. SQLite attaches databases
    /// instead.
    ///
    /// ```
    /// use cratestack_schema::{IDEMPOTENCY, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::new(Some("billing"), "keys")?);
    /// assert_eq!(table.create_schema().as_deref(), Some("CREATE SCHEMA IF NOT EXISTS billing;"));
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn create_schema(&self) -> Option<String> {
        let schema = identifier(Dialect::Postgres, self.name.schema()?);
        Some(format!("CREATE SCHEMA IF NOT EXISTS {schema};"))
    }

    pub(crate) fn sql(&self, dialect: Dialect) -> String {
        self.name.sql(dialect)
    }

    pub(crate) fn index_name(&self) -> String {
        self.name.derived(self.table.index.suffix)
    }

    fn partition(&self, n: u16) -> TableName {
        self.name.sibling(self.name.derived(&format!("p{n}")))
    }

    fn creation(&self, dialect: Dialect, version: u32) -> Vec<String> {
        let mut table = format!("CREATE TABLE IF NOT EXISTS {} (\n", self.sql(dialect));
        for column in self.table.columns_of(version) {
            let _ = writeln!(table, "    {},", definition(column, dialect));
        }
        let key = self.table.primary_key.join(", ");
        let _ = write!(table, "    PRIMARY KEY ({key})\n)");
        let partitions = self.partitions.filter(|_| dialect == Dialect::Postgres);
        if partitions.is_some() {
            let _ = write!(table, " PARTITION BY HASH ({key})");
        }
        if dialect == Dialect::Sqlite {
            // Without it SQLite stores whatever it is given, under any column's type.
            table.push_str(" STRICT");
        }
        table.push(';');
        let mut statements = vec![table];
        if let Some(partitions) = partitions {
            statements.extend(partitions.all().map(|n| {
                format!(
                    "CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {n});",
                    self.partition(n).sql(dialect),
                    self.sql(dialect)
                )
            }));
        }
        statements.push(self.create_index(dialect));
        statements
    }

    /// The statement that sets the options of a version; it waits for nobody's reads or writes.
    fn set_storage(&self, relation: &TableName, version: u32) -> Option<String> {
        self.set_options(relation, |option| option.since == version)
    }

    /// The statement that sets the options that are not among those that are set.
    pub(crate) fn set_missing_storage(&self, relation: &TableName, set: &[&str]) -> Option<String> {
        self.set_options(relation, |option| !set.contains(&option.name))
    }

    fn set_options(&self, relation: &TableName, which: impl Fn(&StorageOption) -> bool) -> Option<String> {
        let options: Vec<_> = self
            .table
            .storage
            .iter()
            .filter(|option| which(option))
            .map(|option| format!("    {} = {}", option.name, option.value))
            .collect();
        let relation = relation.sql(Dialect::Postgres);
        (!options.is_empty()).then(|| format!("ALTER TABLE {relation} SET (\n{}\n);", options.join(",\n")))
    }

    fn reset_storage(&self, relation: &TableName, version: u32) -> Option<String> {
        let options: Vec<_> =
            self.table.storage.iter().filter(|option| option.since == version).map(|option| option.name).collect();
        (!options.is_empty())
            .then(|| format!("ALTER TABLE {} RESET ({});", relation.sql(Dialect::Postgres), options.join(", ")))
    }
}

/// How many hash partitions a table is laid out in: 1 to 1024.
///
/// ```
/// use cratestack_schema::Partitions;
///
/// assert_eq!("16".parse(), Partitions::new(16));
/// assert!(Partitions::new(0).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions(u16);

impl Partitions {
    /// So many.
    ///
    /// # Errors
    ///
    /// When it is none, or more than a plan should have to name.
    ///
    /// ```
    /// use cratestack_schema::Partitions;
    ///
    /// assert_eq!(Partitions::new(5000).unwrap_err().to_string(), "a table can have 1 to 1024 partitions");
    /// ```
    pub fn new(count: u16) -> Result<Self, PartitionsError> {
        if (1..=1024).contains(&count) { Ok(Self(count)) } else { Err(PartitionsError(())) }
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Partitions::new(8).unwrap().get(), 8);
    /// ```
    pub fn get(self) -> u16 {
        self.0
    }

    fn all(self) -> impl Iterator<Item = u16> {
        0..self.0
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Partitions {
    type Err = PartitionsError;

    fn from_str(text: &str) -> Result<Self, PartitionsError> {
        text.parse().map_err(|_| PartitionsError(())).and_then(Self::new)
    }
}

/// A number of partitions that no table should have.
///
/// ```
/// assert!("many".parse::<cratestack_schema::Partitions>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionsError(());

impl fmt::Display for PartitionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table can have 1 to 1024 partitions")
    }
}

impl std::error::Error for PartitionsError {}
