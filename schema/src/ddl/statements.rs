use crate::ddl::{Layout, UnknownVersion};
use crate::dialect::Dialect;
use crate::name::quoted;
use crate::table::{Column, StorageOption};

impl Layout {
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
        format!("CREATE INDEX IF NOT EXISTS {index}\n    ON {table} ({});", self.table.index.columns.join(", "))
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

    /// The statements that create the table as it is in `version`.
    pub(super) fn creation(&self, dialect: Dialect, version: u32) -> Vec<String> {
        let partitions = self.partitions.filter(|_| dialect == Dialect::Postgres).unwrap_or_default();
        let columns = self.table.columns.iter().filter(|column| column.since <= version);
        let mut parts: Vec<_> = columns.map(|column| definition(column, dialect)).collect();
        let key = self.table.primary_key.join(", ");
        parts.push(format!("PRIMARY KEY ({key})"));
        let options = match dialect {
            // Without it SQLite stores whatever it is given, under any column's type.
            Dialect::Sqlite => " STRICT".to_owned(),
            Dialect::Postgres if partitions > 0 => format!(" PARTITION BY HASH ({key})"),
            Dialect::Postgres => String::new(),
        };
        let parts = parts.join(",\n    ");
        let mut statements = vec![format!("CREATE TABLE IF NOT EXISTS {} (\n    {parts}\n){options};", self.name)];
        statements.extend((0..partitions).map(|number| {
            let partition = self.name.beside(&self.name.derived(&format!("_p{number}")));
            format!(
                "CREATE TABLE IF NOT EXISTS {partition} PARTITION OF {}\n    \
                 FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})\n    \
                 WITH ({});",
                self.name,
                self.storage(|_| true).join(", ")
            )
        }));
        statements.push(self.create_index(dialect));
        statements
    }

    /// The storage options that `which` picks, each with its value.
    fn storage(&self, which: impl Fn(&StorageOption) -> bool) -> Vec<String> {
        let options = self.table.storage.iter().filter(|option| which(option));
        options.map(|option| format!("{} = {}", option.name, option.value)).collect()
    }

    /// As [`Table::migration`](crate::Table::migration), for the table of this layout.
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
        self.check_version(version)?;
        if version == 1 {
            return Ok(self.creation(dialect, 1));
        }
        let added = self.table.columns.iter().filter(|column| column.since == version);
        Ok(match dialect {
            // One statement takes the table's lock once, and no reader ever sees half a version.
            Dialect::Postgres => {
                let clauses: Vec<_> = added
                    .map(|column| format!("    ADD COLUMN IF NOT EXISTS {}", definition(column, dialect)))
                    .collect();
                let mut statements = vec![format!("ALTER TABLE {}\n{};", self.name, clauses.join(",\n"))];
                // A partitioned table stores nothing itself; its partitions have their options from the start.
                let options = self.storage(|option| option.since == version);
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
    /// What the version added is lost. From version 3 back, a run that is taken over finds no steps, and does all of it
    /// again; from version 2 back, reservations last until their row expires; from version 1 back, every record is
    /// gone.
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
        self.check_version(version)?;
        if version == 1 {
            return Ok(vec![format!("DROP TABLE IF EXISTS {};", self.name)]);
        }
        let added = self.table.columns.iter().filter(|column| column.since == version).rev();
        Ok(match dialect {
            Dialect::Postgres => {
                let mut clauses: Vec<_> =
                    added.map(|column| format!("    DROP COLUMN IF EXISTS {}", column.name)).collect();
                let options = self.table.storage.iter().filter(|option| option.since == version);
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
    /// let newest = IDEMPOTENCY.columns.last().unwrap();
    /// assert_eq!(
    ///     Layout::default().add_column(Dialect::Sqlite, newest),
    ///     "ALTER TABLE cratestack_idempotency ADD COLUMN steps_token BLOB;",
    /// );
    /// ```
    pub fn add_column(&self, dialect: Dialect, column: &Column) -> String {
        let guard = match dialect {
            Dialect::Postgres => "IF NOT EXISTS ",
            Dialect::Sqlite => "",
        };
        format!("ALTER TABLE {} ADD COLUMN {guard}{};", self.name, definition(column, dialect))
    }
}

/// A column as `CREATE TABLE` and `ADD COLUMN` spell it.
fn definition(column: &Column, dialect: Dialect) -> String {
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    let default = column.default_expression(dialect).map(|default| format!(" DEFAULT {default}"));
    format!("{} {}{not_null}{}", column.name, column.data_type(dialect), default.unwrap_or_default())
}
