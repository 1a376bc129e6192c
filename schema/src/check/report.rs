use std::fmt::{self, Write as _};

use super::Inspection;
use crate::shell::quoted;
use crate::{Dialect, TableName};

/// Whether the table is as programs expect it, and if not, what is and what to do.
///
/// Its `Display` is for people: one line where all is well, else one finding a paragraph.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
///
/// let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []).report();
/// assert!(!report.is_ok());
/// assert!(report.to_string().contains("there is no table cratestack_idempotency"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    dialect: Dialect,
    name: TableName,
    version: Option<u32>,
    partitions: Option<usize>,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(found: &Inspection, findings: Vec<Finding>) -> Self {
        let partitioned = found.one("relation").is_some_and(|relation| relation.text(0) == "p");
        Self {
            dialect: found.dialect,
            name: found.table.name.clone(),
            version: found.version(),
            partitions: partitioned.then(|| found.all("partition").count()),
            findings,
        }
    }

    /// Whether there is nothing to mend.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    /// # let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []).report();
    /// assert_eq!(report.is_ok(), report.findings().is_empty());
    /// ```
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }

    /// What differs, the worst first.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    /// # let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []).report();
    /// for finding in report.findings() {
    ///     println!("{:?}: {}", finding.drift, finding.text);
    /// }
    /// ```
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The version that the table has reached; `None` where there is no table.
    ///
    /// ```
    /// # use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    /// # let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []).report();
    /// assert_eq!(report.version(), None);
    /// ```
    pub fn version(&self) -> Option<u32> {
        self.version
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name.sql(self.dialect), self.dialect)?;
        if let Some(version) = self.version {
            write!(f, ", version {version}")?;
        }
        if let Some(partitions) = self.partitions {
            write!(f, ", {partitions} partitions")?;
        }
        match self.findings.len() {
            0 => return writeln!(f, ": as expected"),
            1 => writeln!(f, ": 1 finding")?,
            many => writeln!(f, ": {many} findings")?,
        }
        for finding in &self.findings {
            writeln!(f, "- {}", finding.text)?;
            if let Some(mend) = &finding.mend {
                writeln!(f, "    mend: {}", mend.replace('\n', " "))?;
            }
        }
        Ok(())
    }
}

/// One thing that is not as programs expect it.
///
/// ```
/// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
///
/// let report = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Sqlite, []).report();
/// assert!(report.findings()[0].mend.as_deref().unwrap().contains("cratestack-schema ddl --dialect sqlite"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its kind.
    pub drift: Drift,
    /// What it is, for people.
    pub text: String,
    /// A statement or a command that mends it, where one can be told.
    pub mend: Option<String>,
}

/// The kinds of difference.
///
/// ```
/// assert_ne!(cratestack_schema::Drift::Index, cratestack_schema::Drift::PrimaryKey);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Drift {
    /// The schema is not there, or cannot be used.
    Schema,
    /// Nothing has the table's name.
    MissingTable,
    /// A view, or anything else that is not a table, has its name.
    NotATable,
    /// Rows do not survive a crash, or the session.
    Persistence,
    /// Another table of the same name hides behind this one on the search path.
    Shadows,
    /// The table is part of an inheritance tree.
    Inheritance,
    /// A column is not there.
    MissingColumn,
    /// A column that this version does not know.
    UnknownColumn,
    /// A column has another type.
    ColumnType,
    /// A column takes NULL and should not, or the other way round.
    Nullability,
    /// A column is filled otherwise where an insert leaves it out.
    Default,
    /// Different text compares as equal.
    Collation,
    /// The primary key is missing or another.
    PrimaryKey,
    /// The index that finds expired rows is missing, or cannot be used, or another one does harm.
    Index,
    /// A constraint of somebody's refuses or deletes rows.
    Constraint,
    /// A trigger or a rule changes what statements do.
    Trigger,
    /// Row security hides rows.
    RowSecurity,
    /// The role may not do what programs do.
    Privilege,
    /// The partitions do not hold every key.
    Partitions,
    /// A storage option is not set, or one does harm.
    Storage,
    /// Writes are refused.
    ReadOnly,
    /// Updates are refused because they are published.
    Replication,
    /// An older version.
    OlderVersion,
}

/// Collects findings about one table.
pub(super) struct Findings<'a> {
    pub(super) found: &'a Inspection,
    pub(super) list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(found: &'a Inspection) -> Self {
        Self { found, list: Vec::new() }
    }

    pub(super) fn add(&mut self, drift: Drift, text: impl Into<String>) {
        self.list.push(Finding { drift, text: text.into(), mend: None });
    }

    pub(super) fn mendable(&mut self, drift: Drift, text: impl Into<String>, mend: impl Into<String>) {
        self.list.push(Finding { drift, text: text.into(), mend: Some(mend.into()) });
    }

    pub(super) fn sql(&self) -> String {
        self.found.table.sql(self.found.dialect)
    }

    /// The command line that speaks of the same table.
    pub(super) fn command(&self, what: &str) -> String {
        let (table, dialect) = (&self.found.table, self.found.dialect);
        let mut text = format!("cratestack-schema {what}");
        if dialect == Dialect::Sqlite {
            text.push_str(" --dialect sqlite");
        }
        if let Some(schema) = table.name.schema() {
            let _ = write!(text, " --schema {}", quoted(schema));
        }
        if table.name.table() != crate::TABLE {
            let _ = write!(text, " --table {}", quoted(table.name.table()));
        }
        text
    }

    pub(super) fn missing_table(&mut self) {
        let text = format!("there is no table {}", self.sql());
        let mend = self.command("ddl");
        self.mendable(Drift::MissingTable, text, mend);
    }

    /// An older version, or the columns that somebody took away.
    pub(super) fn versions(&mut self) {
        let found = self.found;
        let Some(reached) = found.version() else { return };
        let table = &found.table.table;
        let mut gone: Vec<_> = table.columns_of(reached).filter(|column| found.column(column.name).is_none()).collect();
        gone.sort_by_key(|column| column.since);
        for column in gone {
            let mend =
                (column.nullable || found.lacking().is_none()).then(|| found.table.add_column(found.dialect, column));
            self.list.push(Finding {
                drift: Drift::MissingColumn,
                text: format!("column {} is missing", column.name),
                mend,
            });
        }
        let latest = table.latest();
        if reached < latest {
            let mend = self.command(&format!("migration --from {reached}"));
            self.mendable(
                Drift::OlderVersion,
                format!("the table has version {reached}; the latest is {latest}"),
                mend,
            );
        }
    }

    /// Columns that no version has.
    pub(super) fn unknown_columns(&mut self) {
        let found = self.found;
        let latest = found.table.table.latest();
        for column in found.all("column") {
            let name = column.text(0);
            if !found.table.table.columns.iter().any(|ours| ours.name == name) {
                self.add(
                    Drift::UnknownColumn,
                    format!(
                        "column {name} is unknown to version {latest}: the table is newer than this program, or \
                         somebody added it"
                    ),
                );
            }
        }
    }
}
