mod comparison;
mod postgres;
mod sqlite;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use self::comparison::Comparison;
pub use self::comparison::{Finding, FindingKind};
use crate::catalogue::Fact;
use crate::dialect::Dialect;
use crate::name::TableName;

/// What a database has, compared with what the program needs.
///
/// ```
/// use cratestack_schema::{Dialect, Report, TableName};
///
/// // A database that has said nothing of the table does not have it.
/// let report = Report::new(&TableName::default(), Dialect::Sqlite, &[]);
/// assert!(!report.is_clean());
/// assert_eq!(report.version(), None);
/// assert!(report.to_string().contains("cratestack-schema ddl --dialect sqlite"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    table: TableName,
    dialect: Dialect,
    version: Option<u32>,
    findings: Vec<Finding>,
}

impl Report {
    /// Compares what [`TableName::catalogue`] was answered.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, Report, TableName};
    ///
    /// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
    /// assert_eq!(report.findings().len(), 1);
    /// ```
    pub fn new(table: &TableName, dialect: Dialect, facts: &[Fact]) -> Self {
        let mut comparison = Comparison { table, dialect, facts, findings: Vec::new() };
        let version = comparison.all();
        Self { table: table.clone(), dialect, version, findings: comparison.findings }
    }

    /// Whether the database is what the program expects.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// assert!(!Report::new(&TableName::default(), Dialect::Postgres, &[]).is_clean());
    /// ```
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The version of the table that is there: the newest whose columns it has. `None` where it has not even the
    /// first's.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// assert_eq!(Report::new(&TableName::default(), Dialect::Postgres, &[]).version(), None);
    /// ```
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// The differences, the gravest first.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, Report, TableName};
    /// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
    /// assert!(report.findings()[0].text.starts_with("there is no table cratestack_idempotency"));
    /// ```
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            let version = self.version.unwrap_or_default();
            return write!(f, "{} is as this program expects: version {version}", visible(&self.table.sql()));
        }
        let count = self.findings.len();
        let noun = if count == 1 { "difference" } else { "differences" };
        write!(f, "{} is not as this program expects: {count} {noun}", visible(&self.table.sql()))?;
        for Finding { kind, text, remedy } in &self.findings {
            write!(f, "\n  {kind:<12}  {}", visible(text))?;
            if let Some(remedy) = remedy {
                write!(f, "\n  {:<12}  mend: {}", "", visible(remedy))?;
            }
        }
        Ok(())
    }
}

impl Comparison<'_> {
    /// Looks at everything, the gravest first, and says which version of the table is there.
    fn all(&mut self) -> Option<u32> {
        self.schema();
        let Some(table) = self.of("table").next() else {
            if self.findings.is_empty() {
                self.missing_table();
            }
            return None;
        };
        self.read_only();
        self.hidden();
        if !self.kind_of_table(table) {
            return None;
        }
        let version = self.columns();
        match self.dialect {
            Dialect::Postgres => self.postgres(table),
            Dialect::Sqlite => self.sqlite(table),
        }
        version
    }
}

/// What is shown may be a name out of the database, and must not steer the terminal that shows it.
pub(crate) fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}
