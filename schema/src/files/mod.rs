mod calendar;
mod migration;
#[cfg(test)]
mod tests;

use std::fmt;

use self::migration::Migration;
pub use self::migration::{Format, MigrationFile, Numbering};
use crate::ddl::{Layout, UnknownVersion};
use crate::dialect::Dialect;

impl Layout {
    /// The files that lead from one version to another (from nothing: 0), for a tool.
    ///
    /// On Postgres an upgrade gives up after a second of waiting for a lock, since traffic waits behind it; nothing is
    /// changed then, and it can be tried again. Where the tool can run it, a second migration builds the index, if it
    /// is missing, while others write.
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
        for (place, migration) in (0..).zip(self.migrations(dialect, format, from, to)?) {
            let number = Numbering {
                unix_seconds: numbering.unix_seconds.saturating_add(u64::from(place)),
                next: numbering.next.saturating_add(place),
            };
            files.extend(migration.files(dialect, format, number));
        }
        Ok(files)
    }

    /// The version that a file leads to, if it is a migration of this table, written for whatever tool: by its path
    /// within the folder of migrations, and by its contents, which name the table.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Format, Layout, Numbering, TableName};
    ///
    /// let numbering = Numbering { unix_seconds: 1_767_225_600, next: 12 };
    /// let layout = Layout::default();
    /// let file = &layout.files(Dialect::Postgres, Format::Sqlx, 0, 2, numbering)?[0];
    /// assert_eq!(layout.version_of(&file.path, &file.contents), Some(2));
    ///
    /// let other = Layout::new(TableName::new(Some("other"), "cratestack_idempotency")?);
    /// assert_eq!(other.version_of(&file.path, &file.contents), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn version_of(&self, path: &str, contents: &str) -> Option<u32> {
        let stem = ["/up.sql", ".up.sql", ".sql"].into_iter().find_map(|end| path.strip_suffix(end))?;
        let (name, version) = stem.rsplit_once("_v")?;
        let number = name.strip_suffix(&slug(self.name().table()))?;
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, 'V' | '_' | '-');
        let is_ours = number.chars().all(is_number) && names(contents, &self.name().sql());
        version.parse().ok().filter(|_| is_ours)
    }

    fn migrations(
        &self,
        dialect: Dialect,
        format: Format,
        from: u32,
        to: u32,
    ) -> Result<Vec<Migration>, MigrationError> {
        self.check_version(from.max(1))?;
        self.check_version(to)?;
        if from >= to {
            return Err(MigrationError::Nothing { from, to });
        }
        let slug = slug(self.name().table());
        let mut migration = Migration {
            name: format!("{slug}_v{to}"),
            about: format!("The idempotency table, version {to}."),
            up: vec![self.ddl(dialect, to)?.trim_end().to_owned()],
            down: self.reversal(dialect, 1)?,
            transaction: true,
        };
        if from == 0 {
            return Ok(vec![migration]);
        }
        migration.about = format!("The idempotency table, from version {from} to {to}. Rows stay as they are.");
        migration.up.clear();
        migration.down.clear();
        for version in from + 1..=to {
            migration.up.extend(self.migration(dialect, version)?);
            migration.down.splice(0..0, self.reversal(dialect, version)?);
        }
        let mut migrations = vec![migration];
        if dialect == Dialect::Postgres && !self.is_partitioned() && format.runs_outside_transactions() {
            migrations.push(Migration {
                name: format!("{slug}_v{to}_index"),
                about: "Builds the index on the expiry while others write, if it is missing; outside any transaction."
                    .to_owned(),
                up: vec![self.create_index_concurrently()],
                // The index is of version 1, so it stays on the way back.
                down: vec!["SELECT 1;".to_owned()],
                transaction: false,
            });
        }
        Ok(migrations)
    }
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

/// Whether a text creates or alters the table of this spelling, and not one whose name only ends or begins so.
fn names(text: &str, table: &str) -> bool {
    ["TABLE ", "EXISTS "].iter().any(|before| {
        text.match_indices(&format!("{before}{table}"))
            .any(|(place, found)| text[place + found.len()..].starts_with(|c: char| c.is_whitespace() || c == '('))
    })
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
