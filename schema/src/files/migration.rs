use std::fmt;
use std::str::FromStr;

use crate::dialect::Dialect;
use crate::files::calendar::{dashed, utc_digits};

/// A migration tool, which reads files of its own names and shapes.
///
/// ```
/// use cratestack_schema::Format;
///
/// assert_eq!("dbmate".parse(), Ok(Format::Dbmate));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Files for `psql` or `sqlite3`, each a transaction of its own.
    Plain,
    /// sqlx: `<time>_<name>.up.sql` and `.down.sql`.
    Sqlx,
    /// refinery: `V<number>__<name>.sql`; it has no way back.
    Refinery,
    /// Flyway: `V<time>__<name>.sql`, and `U…` for the editions that can undo.
    Flyway,
    /// Diesel: a folder with `up.sql` and `down.sql`.
    Diesel,
    /// dbmate: one file with both ways.
    Dbmate,
}

impl Format {
    /// All of them.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Format::ALL[0].name(), "plain");
    /// ```
    pub const ALL: [Self; 6] = [Self::Plain, Self::Sqlx, Self::Refinery, Self::Flyway, Self::Diesel, Self::Dbmate];

    /// The name that the command line uses.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Format::Sqlx.name(), "sqlx");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Flyway => "flyway",
            Self::Diesel => "diesel",
            Self::Dbmate => "dbmate",
        }
    }

    /// Whether the tool can run one migration outside a transaction, as building an index beside traffic needs.
    ///
    /// Flyway can, but holds a transaction of its own open meanwhile unless told otherwise, and the build waits for
    /// that transaction forever.
    ///
    /// ```
    /// assert!(!cratestack_schema::Format::Refinery.runs_outside_transactions());
    /// ```
    pub const fn runs_outside_transactions(self) -> bool {
        matches!(self, Self::Plain | Self::Sqlx | Self::Diesel | Self::Dbmate)
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

/// What the tools number migrations by.
///
/// ```
/// use cratestack_schema::Numbering;
///
/// let numbering = Numbering { unix_seconds: 1_767_225_600, next: 7 };
/// assert_eq!(numbering.next, 7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    /// The first migration's time, for the tools that number by time: seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// The first migration's number, for refinery, whose numbers are small.
    pub next: u32,
}

/// A file of a migration.
///
/// ```
/// use cratestack_schema::{Dialect, Format, Layout, Numbering};
///
/// let numbering = Numbering { unix_seconds: 1_767_225_600, next: 1 };
/// let files = Layout::default().files(Dialect::Postgres, Format::Sqlx, 0, 2, numbering)?;
/// assert_eq!(files[0].path, "20260101000000_cratestack_idempotency_v2.up.sql");
/// # Ok::<(), cratestack_schema::MigrationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationFile {
    /// Where it goes, within the tool's folder of migrations.
    pub path: String,
    /// What is in it.
    pub contents: String,
}

/// Statements that are one migration, before any tool's names and marks are put to them.
pub(super) struct Migration {
    pub(super) name: String,
    /// The comment that opens the way up.
    pub(super) about: String,
    pub(super) up: Vec<String>,
    pub(super) down: Vec<String>,
    /// Whether all of it is one transaction.
    pub(super) transaction: bool,
}

impl Migration {
    /// The files in which the tool wants it.
    pub(super) fn files(&self, dialect: Dialect, format: Format, number: Numbering) -> Vec<MigrationFile> {
        let name = &self.name;
        let file = |path: String, contents: String| MigrationFile { path, contents };
        let up = self.text(&self.up, dialect, true);
        let down = self.text(&self.down, dialect, false);
        let time = utc_digits(number.unix_seconds);
        match format {
            Format::Plain => {
                let whole = |text: String| {
                    if self.transaction { format!("BEGIN;\n\n{text}\nCOMMIT;\n") } else { text }
                };
                vec![file(format!("{name}.up.sql"), whole(up)), file(format!("{name}.down.sql"), whole(down))]
            }
            Format::Sqlx => {
                // It must be the first line.
                let mode = if self.transaction { "" } else { "-- no-transaction\n" };
                vec![
                    file(format!("{time}_{name}.up.sql"), format!("{mode}{up}")),
                    file(format!("{time}_{name}.down.sql"), format!("{mode}{down}")),
                ]
            }
            Format::Refinery => vec![file(format!("V{}__{name}.sql", number.next), up)],
            Format::Flyway => {
                let scripts = [file(format!("V{time}__{name}.sql"), up), file(format!("U{time}__{name}.sql"), down)];
                let mut files = Vec::new();
                for script in scripts {
                    // Flyway would put something else in the place of what looks like a placeholder.
                    let settings = script
                        .contents
                        .contains("${")
                        .then(|| file(format!("{}.conf", script.path), "placeholderReplacement=false\n".to_owned()));
                    files.push(script);
                    files.extend(settings);
                }
                files
            }
            Format::Diesel => {
                let folder = format!("{}_{name}", dashed(&time));
                let mut files = vec![file(format!("{folder}/up.sql"), up), file(format!("{folder}/down.sql"), down)];
                if !self.transaction {
                    files.push(file(format!("{folder}/metadata.toml"), "run_in_transaction = false\n".to_owned()));
                }
                files
            }
            Format::Dbmate => {
                let mode = if self.transaction { "" } else { " transaction:false" };
                let contents = format!("-- migrate:up{mode}\n{up}\n-- migrate:down{mode}\n{down}");
                vec![file(format!("{time}_{name}.sql"), contents)]
            }
        }
    }

    /// No name of the user's stands in a comment, where a line's end would make SQL of it.
    fn text(&self, statements: &[String], dialect: Dialect, up: bool) -> String {
        let about = match (up, self.transaction) {
            (true, _) => &self.about,
            (false, true) => "The way back. What the version added is lost.",
            (false, false) => "Nothing to take back.",
        };
        let bounded_wait = if self.transaction && dialect == Dialect::Postgres {
            "-- Traffic on the table waits while this waits, so it does not wait long. Try again if it fails.\n\
             SET LOCAL lock_timeout = '1s';\n\n"
        } else {
            ""
        };
        format!("-- {about}\n\n{bounded_wait}{}\n", statements.join("\n\n"))
    }
}
