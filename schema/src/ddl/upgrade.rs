use crate::ddl::create::definition;
use crate::ddl::layout::{Layout, UnknownVersion};
use crate::dialect::Dialect;
use crate::table::Column;

impl Layout {
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
}
