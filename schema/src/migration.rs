use std::fmt;
use std::str::FromStr;

use crate::{Dialect, NamedTable, UnknownVersion};

/// A migration tool, and with it the names and the shape of its files.
///
/// ```
/// use cratestack_schema::Format;
///
/// assert_eq!("diesel".parse(), Ok(Format::Diesel));
/// assert!(Format::Sqlx.has_way_back());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `sqlx migrate`: `<number>_<name>.up.sql` and `.down.sql`.
    Sqlx,
    /// refinery: `V<number>__<name>.sql`.
    Refinery,
    /// Flyway: `V<number>__<name>.sql`.
    Flyway,
    /// diesel: `<number>_<name>/up.sql` and `down.sql`.
    Diesel,
    /// dbmate: `<number>_<name>.sql` with both ways in it.
    Dbmate,
    /// Two files for whoever runs them by hand, each a transaction of its own.
    Plain,
}

impl Format {
    /// All of them.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Format::ALL.len(), 6);
    /// ```
    pub const ALL: [Self; 6] = [Self::Sqlx, Self::Refinery, Self::Flyway, Self::Diesel, Self::Dbmate, Self::Plain];

    /// The name that the command line uses.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Format::Flyway.name(), "flyway");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Flyway => "flyway",
            Self::Diesel => "diesel",
            Self::Dbmate => "dbmate",
            Self::Plain => "plain",
        }
    }

    /// Whether the tool can go back, and the migration says how.
    ///
    /// ```
    /// assert!(!cratestack_schema::Format::Refinery.has_way_back());
    /// ```
    pub const fn has_way_back(self) -> bool {
        !matches!(self, Self::Refinery | Self::Flyway)
    }

    /// Whether the number in the file's name is a time; else it counts up.
    ///
    /// ```
    /// assert!(cratestack_schema::Format::Dbmate.is_numbered_by_time());
    /// ```
    pub const fn is_numbered_by_time(self) -> bool {
        matches!(self, Self::Sqlx | Self::Diesel | Self::Dbmate)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| format!("there is no format {name:?}; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What leads from one version of the table to another, as files of a migration tool.
///
/// ```
/// use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Migration, TableName};
///
/// let table = IDEMPOTENCY.named(TableName::default());
/// let files = Migration::new(&table, Dialect::Postgres, 0, 3)?.files(Format::Sqlx, "20250101000000")?;
/// let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
/// assert_eq!(names, ["20250101000000_create_idempotency_v3.up.sql", "20250101000000_create_idempotency_v3.down.sql"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Migration<'a> {
    table: &'a NamedTable,
    dialect: Dialect,
    from: u32,
    to: u32,
    up: Vec<String>,
    down: Vec<String>,
}

/// A file of a migration.
///
/// ```
/// use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Migration, TableName};
///
/// let table = IDEMPOTENCY.named(TableName::default());
/// let file = &Migration::new(&table, Dialect::Sqlite, 1, 3)?.files(Format::Plain, "")?[0];
/// assert_eq!(file.path, "upgrade_idempotency_v1_to_v3.sql");
/// assert!(file.text.contains("ADD COLUMN attempt INTEGER;"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Where it belongs, below the tool's directory.
    pub path: String,
    /// What it contains.
    pub text: String,
}

impl<'a> Migration<'a> {
    /// From a version to a later one; version 0 is no table.
    ///
    /// # Errors
    ///
    /// When there are no such versions, or nothing lies between them.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Migration, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default());
    /// let error = Migration::new(&table, Dialect::Postgres, 3, 2).unwrap_err();
    /// assert_eq!(error.to_string(), "nothing leads from version 3 to version 2; the way back is part of the way there");
    /// ```
    pub fn new(table: &'a NamedTable, dialect: Dialect, from: u32, to: u32) -> Result<Self, MigrationError> {
        table.table.known(to).map_err(MigrationError::Version)?;
        if from >= to {
            return Err(MigrationError::Backwards { from, to });
        }
        let mut up = Vec::new();
        let mut down = Vec::new();
        if from == 0 {
            if dialect == Dialect::Postgres {
                up.extend(table.create_schema());
            }
            up.push(table.ddl(dialect, to).map_err(MigrationError::Version)?.trim_end().to_owned());
            down = table.rollback(dialect, 1).map_err(MigrationError::Version)?;
        } else {
            for version in from + 1..=to {
                up.extend(table.migration(dialect, version).map_err(MigrationError::Version)?);
            }
            for version in (from + 1..=to).rev() {
                down.extend(table.rollback(dialect, version).map_err(MigrationError::Version)?);
            }
        }
        if up.is_empty() {
            return Err(MigrationError::Nothing { from, to, dialect });
        }
        Ok(Self { table, dialect, from, to, up, down })
    }

    /// What the files of this migration are called, without their number.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, Migration, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default());
    /// assert_eq!(Migration::new(&table, Dialect::Postgres, 1, 2)?.name(), "upgrade_idempotency_v1_to_v2");
    /// # Ok::<(), cratestack_schema::MigrationError>(())
    /// ```
    pub fn name(&self) -> String {
        // Not the table's name: it can be anything, and a file's name cannot.
        if self.from == 0 {
            format!("create_idempotency_v{}", self.to)
        } else {
            format!("upgrade_idempotency_v{}_to_v{}", self.from, self.to)
        }
    }

    /// The files, as `format` expects them. `number` is what orders them among the tool's others.
    ///
    /// # Errors
    ///
    /// When the table's name cannot stand in a file that is read line by line (SQLite alone).
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Migration, TableName};
    ///
    /// let table = IDEMPOTENCY.named(TableName::default());
    /// let files = Migration::new(&table, Dialect::Postgres, 1, 3)?.files(Format::Flyway, "7")?;
    /// assert_eq!(files[0].path, "V7__upgrade_idempotency_v1_to_v3.sql");
    /// assert!(files[0].text.contains("SET LOCAL lock_timeout = '1s';"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn files(&self, format: Format, number: &str) -> Result<Vec<File>, MigrationError> {
        if self.dialect == Dialect::Sqlite && self.table.name.breaks_lines() {
            return Err(MigrationError::Name);
        }
        let name = self.name();
        let file = |path: String, text: String| File { path, text };
        let up = || self.text(&self.up, true, format);
        let down = || self.text(&self.down, false, format);
        let mut files = match format {
            Format::Sqlx => {
                vec![file(format!("{number}_{name}.up.sql"), up()), file(format!("{number}_{name}.down.sql"), down())]
            }
            Format::Diesel => {
                let directory = format!("{}_{name}", dashed(number));
                vec![file(format!("{directory}/up.sql"), up()), file(format!("{directory}/down.sql"), down())]
            }
            Format::Dbmate => vec![file(
                format!("{number}_{name}.sql"),
                format!("-- migrate:up\n{}\n-- migrate:down\n{}", up(), down()),
            )],
            Format::Refinery | Format::Flyway => vec![file(format!("V{number}__{name}.sql"), up())],
            Format::Plain => vec![
                file(format!("{name}.sql"), format!("BEGIN;\n\n{}\nCOMMIT;\n", up())),
                file(format!("{name}_back.sql"), format!("BEGIN;\n\n{}\nCOMMIT;\n", down())),
            ],
        };
        // Flyway puts its own values in the place of what looks like `${…}`, in the middle of a name too.
        if format == Format::Flyway && files.iter().any(|file| file.text.contains("${")) {
            let path = format!("V{number}__{name}.sql.conf");
            files.push(file(path, "placeholderReplacement=false\n".to_owned()));
        }
        Ok(files)
    }

    fn text(&self, statements: &[String], up: bool, format: Format) -> String {
        let what = match (self.from, up) {
            (0, true) => format!("-- The idempotency table, version {}.\n", self.to),
            (0, false) => "-- Forgets every idempotency key: retried requests run again.\n".to_owned(),
            (from, true) => format!("-- The idempotency table, from version {from} to {}.\n", self.to),
            (from, false) => format!("-- The idempotency table, back to version {from}.\n"),
        };
        let mut text = what;
        if self.dialect == Dialect::Postgres {
            // All these tools run a file in a transaction, where LOCAL ends with it.
            text.push_str(
                "-- Traffic on the table queues behind a statement that waits for it. Rather fail, and be run again.\n\
                 SET LOCAL lock_timeout = '1s';\n",
            );
        } else if format == Format::Plain {
            text.push_str("-- Stop at the first error: `sqlite3 -bail`.\n");
        }
        text.push('\n');
        text.push_str(&statements.join("\n\n"));
        text.push('\n');
        text
    }
}

/// A time as diesel writes it: `2025-01-31-093000`. It reads other numbers, too.
fn dashed(number: &str) -> String {
    match (number.len(), number.get(..4), number.get(4..6), number.get(6..8), number.get(8..)) {
        (14, Some(year), Some(month), Some(day), Some(time)) => format!("{year}-{month}-{day}-{time}"),
        _ => number.to_owned(),
    }
}

/// A migration that cannot be written.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, Migration, TableName};
///
/// let table = IDEMPOTENCY.named(TableName::default());
/// let error = Migration::new(&table, Dialect::Sqlite, 2, 3).unwrap_err();
/// assert_eq!(error.to_string(), "versions 2 and 3 are the same for sqlite: there is nothing to do");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationError {
    /// The table has no such version.
    Version(UnknownVersion),
    /// The versions are the wrong way round.
    Backwards {
        /// The first version.
        from: u32,
        /// The last version.
        to: u32,
    },
    /// The versions do not differ.
    Nothing {
        /// The first version.
        from: u32,
        /// The last version.
        to: u32,
        /// Where they do not.
        dialect: Dialect,
    },
    /// The table's name contains a line break or another control character.
    Name,
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(unknown) => unknown.fmt(f),
            Self::Backwards { from, to } => {
                write!(f, "nothing leads from version {from} to version {to}; the way back is part of the way there")
            }
            Self::Nothing { from, to, dialect } => {
                write!(f, "versions {from} and {to} are the same for {dialect}: there is nothing to do")
            }
            Self::Name => f.write_str(
                "the table's name contains a control character, which SQLite cannot escape: a tool that reads the file \
                 line by line would read it wrong",
            ),
        }
    }
}

impl std::error::Error for MigrationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IDEMPOTENCY, TableName};

    #[test]
    fn no_name_can_begin_a_line() {
        let name = TableName::new(None, "a\n-- migrate:down\nDROP TABLE b; --").unwrap();
        let table = IDEMPOTENCY.named(name);
        for format in Format::ALL {
            for file in Migration::new(&table, Dialect::Postgres, 0, 3).unwrap().files(format, "1").unwrap() {
                let marks = file.text.lines().filter(|line| line.starts_with("-- migrate:down")).count();
                assert_eq!(marks, usize::from(format == Format::Dbmate), "{}", file.text);
                assert!(!file.path.contains("DROP"));
            }
        }
        let sqlite = Migration::new(&table, Dialect::Sqlite, 0, 3).unwrap();
        assert_eq!(sqlite.files(Format::Dbmate, "1"), Err(MigrationError::Name));
    }

    #[test]
    fn flyway_leaves_a_name_alone_that_looks_like_its_own() {
        let table = IDEMPOTENCY.named(TableName::new(None, "${user}").unwrap());
        let files = Migration::new(&table, Dialect::Postgres, 0, 1).unwrap().files(Format::Flyway, "1").unwrap();
        assert_eq!(files[1].path, "V1__create_idempotency_v1.sql.conf");
    }

    #[test]
    fn tools_that_go_back_are_told_how() {
        let table = IDEMPOTENCY.named(TableName::default());
        for dialect in Dialect::ALL {
            for format in Format::ALL {
                let files = Migration::new(&table, dialect, 1, 3).unwrap().files(format, "1").unwrap();
                let back = files.iter().any(|file| file.text.contains("DROP COLUMN"));
                assert_eq!(back, format.has_way_back(), "{format}");
            }
        }
    }
}
