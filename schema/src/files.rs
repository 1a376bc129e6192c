use std::fmt;
use std::str::FromStr;

use crate::ddl::known;
use crate::{Dialect, Layout, UnknownVersion};

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
    /// Flyway can, but holds a transaction of its own open meanwhile unless told otherwise, and the build waits for that
    /// transaction forever.
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

/// Why there are no files for what was asked.
///
/// ```
/// use cratestack_schema::{Dialect, Format, Layout, Numbering};
///
/// let numbering = Numbering { unix_seconds: 0, next: 1 };
/// let error = Layout::default().files(Dialect::Postgres, Format::Plain, 2, 2, numbering).unwrap_err();
/// assert_eq!(error.to_string(), "there is nothing to do from version 2 to version 2");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationError {
    /// A version that the table never had.
    Version(UnknownVersion),
    /// The versions are the same, or the wrong way round.
    Nothing {
        /// The version to start from.
        from: u32,
        /// The version to arrive at.
        to: u32,
    },
    /// The tool would take a part of the table's name for an instruction.
    Name(Format),
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(error) => error.fmt(f),
            Self::Nothing { from, to } => write!(f, "there is nothing to do from version {from} to version {to}"),
            Self::Name(format) => write!(f, "{format} reads its files by lines, and the table's name has several"),
        }
    }
}

impl std::error::Error for MigrationError {}

impl From<UnknownVersion> for MigrationError {
    fn from(error: UnknownVersion) -> Self {
        Self::Version(error)
    }
}

/// Statements that are one migration of a tool.
struct Step {
    name: String,
    about: String,
    up: Vec<String>,
    down: Vec<String>,
    transaction: bool,
}

impl Layout {
    /// The files that lead from one version to another (from nothing: 0), for a tool.
    ///
    /// On Postgres an upgrade gives up after a second of waiting for a lock, since traffic waits behind it; nothing is
    /// changed then, and it can be tried again. Where the tool can run it, a second migration builds the index, if it is
    /// missing, while others write.
    ///
    /// # Errors
    ///
    /// When there is no such version, nothing to do, or when the tool would misread the table's name.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Format, Layout, Numbering};
    ///
    /// let numbering = Numbering { unix_seconds: 1_767_225_600, next: 12 };
    /// let files = Layout::default().files(Dialect::Postgres, Format::Refinery, 1, 2, numbering)?;
    /// assert_eq!(files[0].path, "V12__cratestack_idempotency_v2.sql");
    /// assert!(files[0].contents.contains("SET LOCAL lock_timeout = '1s';"));
    /// # Ok::<(), cratestack_schema::MigrationError>(())
    /// ```
    pub fn files(
        &self,
        dialect: Dialect,
        format: Format,
        from: u32,
        to: u32,
        numbering: Numbering,
    ) -> Result<Vec<MigrationFile>, MigrationError> {
        let lines = |name: &str| name.contains(['\n', '\r']);
        if format == Format::Dbmate && (lines(self.name().table()) || self.name().schema().is_some_and(lines)) {
            return Err(MigrationError::Name(format));
        }
        let mut files = Vec::new();
        for (place, step) in (0..).zip(self.steps(dialect, format, from, to)?) {
            let number = Numbering {
                unix_seconds: numbering.unix_seconds.saturating_add(u64::from(place)),
                next: numbering.next.saturating_add(place),
            };
            files.extend(step.files(dialect, format, number));
        }
        Ok(files)
    }

    fn steps(&self, dialect: Dialect, format: Format, from: u32, to: u32) -> Result<Vec<Step>, MigrationError> {
        known(from.max(1))?;
        known(to)?;
        if from >= to {
            return Err(MigrationError::Nothing { from, to });
        }
        let slug = slug(self.name().table());
        let mut step = Step {
            name: format!("{slug}_v{to}"),
            about: format!("The idempotency table, version {to}."),
            up: vec![self.ddl(dialect, to)?.trim_end().to_owned()],
            down: self.reversal(dialect, 1)?,
            transaction: true,
        };
        if from == 0 {
            return Ok(vec![step]);
        }
        step.about = format!("The idempotency table, from version {from} to {to}. Rows stay as they are.");
        step.up.clear();
        step.down.clear();
        for version in from + 1..=to {
            step.up.extend(self.migration(dialect, version)?);
            step.down.splice(0..0, self.reversal(dialect, version)?);
        }
        let mut steps = vec![step];
        if dialect == Dialect::Postgres && !self.is_partitioned() && format.runs_outside_transactions() {
            steps.push(Step {
                name: format!("{slug}_v{to}_index"),
                about: "Builds the index on the expiry while others write, if it is missing; outside any transaction."
                    .to_owned(),
                up: vec![self.create_index_concurrently()],
                // The index is of version 1, so it stays on the way back.
                down: vec!["SELECT 1;".to_owned()],
                transaction: false,
            });
        }
        Ok(steps)
    }
}

impl Step {
    fn files(&self, dialect: Dialect, format: Format, number: Numbering) -> Vec<MigrationFile> {
        let name = &self.name;
        let file = |path: String, contents: String| MigrationFile { path, contents };
        let up = self.text(&self.up, dialect, true);
        let down = self.text(&self.down, dialect, false);
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
                let time = Time::of(number.unix_seconds).digits();
                vec![
                    file(format!("{time}_{name}.up.sql"), format!("{mode}{up}")),
                    file(format!("{time}_{name}.down.sql"), format!("{mode}{down}")),
                ]
            }
            Format::Refinery => vec![file(format!("V{}__{name}.sql", number.next), up)],
            Format::Flyway => {
                let time = Time::of(number.unix_seconds).digits();
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
                let folder = format!("{}_{name}", Time::of(number.unix_seconds).dashed());
                let mut files = vec![file(format!("{folder}/up.sql"), up), file(format!("{folder}/down.sql"), down)];
                if !self.transaction {
                    files.push(file(format!("{folder}/metadata.toml"), "run_in_transaction = false\n".to_owned()));
                }
                files
            }
            Format::Dbmate => {
                let mode = if self.transaction { "" } else { " transaction:false" };
                let time = Time::of(number.unix_seconds).digits();
                let contents = format!("-- migrate:up{mode}\n{up}\n-- migrate:down{mode}\n{down}");
                vec![file(format!("{time}_{name}.sql"), contents)]
            }
        }
    }

    /// No name of the user's stands in a comment, where a line's end would make SQL of it.
    fn text(&self, statements: &[String], dialect: Dialect, up: bool) -> String {
        let mut text = if up {
            format!("-- {}\n\n", self.about)
        } else if self.transaction {
            "-- The way back. What the version added is lost.\n\n".to_owned()
        } else {
            "-- Nothing to take back.\n\n".to_owned()
        };
        if self.transaction && dialect == Dialect::Postgres {
            text.push_str(
                "-- Traffic on the table waits while this waits, so it does not wait long. Try again if it fails.\n",
            );
            text.push_str("SET LOCAL lock_timeout = '1s';\n\n");
        }
        text.push_str(&statements.join("\n\n"));
        text.push('\n');
        text
    }
}

/// What every file system and tool takes for a name, whatever the table is called.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let slug = slug.trim_end_matches('_');
    if slug.is_empty() { "idempotency".to_owned() } else { slug.to_owned() }
}

/// A moment in UTC.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Time {
    fn of(unix_seconds: u64) -> Self {
        // Years with five digits would be no version to any tool.
        let unix_seconds = unix_seconds.min(253_402_300_799);
        let (days, second_of_day) = (unix_seconds / 86_400, unix_seconds % 86_400);
        // Howard Hinnant's `civil_from_days`: years that begin in March end with the day that leap years add.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self { year: year_of_era + era * 400 + u64::from(month <= 2), month, day, second_of_day }
    }

    fn clock(&self) -> (u64, u64, u64) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }

    fn digits(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}{:02}{:02}{hour:02}{minute:02}{second:02}", self.year, self.month, self.day)
    }

    fn dashed(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!("{:04}-{:02}-{:02}-{hour:02}{minute:02}{second:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IDEMPOTENCY, TableName};

    const NUMBERING: Numbering = Numbering { unix_seconds: 1_767_225_600, next: 3 };

    fn paths(format: Format, from: u32) -> Vec<String> {
        let files = Layout::default().files(Dialect::Postgres, format, from, IDEMPOTENCY.latest(), NUMBERING).unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn files_are_named_as_the_tools_expect() {
        assert_eq!(paths(Format::Refinery, 0), ["V3__cratestack_idempotency_v2.sql"]);
        assert_eq!(
            paths(Format::Flyway, 1),
            ["V20260101000000__cratestack_idempotency_v2.sql", "U20260101000000__cratestack_idempotency_v2.sql"]
        );
        assert_eq!(
            paths(Format::Diesel, 1),
            [
                "2026-01-01-000000_cratestack_idempotency_v2/up.sql",
                "2026-01-01-000000_cratestack_idempotency_v2/down.sql",
                "2026-01-01-000001_cratestack_idempotency_v2_index/up.sql",
                "2026-01-01-000001_cratestack_idempotency_v2_index/down.sql",
                "2026-01-01-000001_cratestack_idempotency_v2_index/metadata.toml",
            ]
        );
        assert_eq!(
            paths(Format::Dbmate, 1),
            ["20260101000000_cratestack_idempotency_v2.sql", "20260101000001_cratestack_idempotency_v2_index.sql"]
        );
    }

    #[test]
    fn every_upgrade_bounds_its_wait_and_only_the_index_is_outside_a_transaction() {
        for format in Format::ALL {
            let files = Layout::default().files(Dialect::Postgres, format, 1, IDEMPOTENCY.latest(), NUMBERING).unwrap();
            for file in files.iter().filter(|file| file.path.ends_with("sql")) {
                let concurrent = file.path.contains("_index");
                assert_ne!(concurrent, file.contents.contains("lock_timeout"), "{}", file.path);
                if concurrent && format == Format::Sqlx {
                    assert!(file.contents.starts_with("-- no-transaction\n"));
                }
            }
            assert_eq!(
                files.iter().any(|file| file.contents.contains("CONCURRENTLY")),
                format.runs_outside_transactions()
            );
        }
    }

    #[test]
    fn no_name_leaves_its_line() {
        let name = TableName::new(None, "a\n-- migrate:down\nDROP TABLE x; ${y}").unwrap();
        let layout = Layout::new(name);
        for format in Format::ALL {
            let files = layout.files(Dialect::Postgres, format, 0, 1, NUMBERING);
            if format == Format::Dbmate {
                assert_eq!(files, Err(MigrationError::Name(format)));
                continue;
            }
            for file in files.unwrap() {
                assert!(!file.path.contains('\n'));
                for comment in file.contents.lines().filter(|line| line.starts_with("-- ") && !line.contains("migrate"))
                {
                    assert!(!comment.contains("DROP"), "{comment}");
                }
            }
        }
        let files = layout.files(Dialect::Postgres, Format::Flyway, 0, 1, NUMBERING).unwrap();
        assert!(files[1].path.ends_with(".sql.conf") && files[1].contents.contains("placeholderReplacement=false"));
    }

    #[test]
    fn versions_that_lead_nowhere_are_refused() {
        for (from, to) in [(2, 2), (2, 1), (0, 0), (0, 9), (9, 10)] {
            assert!(
                Layout::default().files(Dialect::Sqlite, Format::Plain, from, to, NUMBERING).is_err(),
                "{from} {to}"
            );
        }
    }

    #[test]
    fn slugs_are_plain_words() {
        assert_eq!(slug("Idempotency Keys"), "idempotency_keys");
        assert_eq!(slug("../../etc/passwd"), "etc_passwd");
        assert_eq!(slug("表"), "idempotency");
    }

    #[test]
    fn dates_are_right() {
        for (seconds, digits) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (1_709_251_199, "20240229235959"),
            (1_767_225_599, "20251231235959"),
            (u64::MAX, "99991231235959"),
        ] {
            assert_eq!(Time::of(seconds).digits(), digits);
        }
        assert_eq!(Time::of(1_709_251_199).dashed(), "2024-02-29-235959");
    }
}
