use std::fmt::Write as _;

use crate::ddl::layout::Layout;
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
        let partitions = self.partitions.filter(|_| dialect == Dialect::Postgres);
        let mut table = format!("CREATE TABLE IF NOT EXISTS {} (\n", self.name);
        for column in self.table.columns.iter().filter(|column| column.since <= version) {
            let _ = writeln!(table, "    {},", definition(column, dialect));
        }
        let key = self.table.primary_key.join(", ");
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
                    self.storage(|_| true).join(", ")
                )
            }));
        }
        statements.push(self.create_index(dialect));
        statements
    }

    /// The storage options that `which` picks, each with its value.
    pub(super) fn storage(&self, which: impl Fn(&StorageOption) -> bool) -> Vec<String> {
        let options = self.table.storage.iter().filter(|option| which(option));
        options.map(|option| format!("{} = {}", option.name, option.value)).collect()
    }
}

/// A column as `CREATE TABLE` and `ADD COLUMN` spell it.
pub(super) fn definition(column: &Column, dialect: Dialect) -> String {
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
