use std::fmt;

use crate::catalogue::Fact;
use crate::ddl::Layout;
use crate::dialect::Dialect;
use crate::name::TableName;

/// One difference, and what mends it.
///
/// ```
/// use cratestack_schema::{Dialect, FindingKind, Report, TableName};
///
/// let report = Report::new(&TableName::default(), Dialect::Postgres, &[]);
/// assert_eq!(report.findings()[0].kind, FindingKind::Table);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of difference it is.
    pub kind: FindingKind,
    /// What is there, and what should be.
    pub text: String,
    /// A statement or a command that mends it, where one does.
    pub remedy: Option<String>,
}

/// Kinds of differences.
///
/// ```
/// assert_eq!(cratestack_schema::FindingKind::Nullability.name(), "nullability");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The table is missing, or what has its name is no ordinary table.
    Table,
    /// The table is of an older version, or of a newer one than this program knows.
    Version,
    /// A column is missing, or one is in the way.
    Column,
    /// A column has another type, or compares in another way.
    Type,
    /// A column takes NULL that must not, or the other way round.
    Nullability,
    /// A column is filled in another way where an insert leaves it out.
    Default,
    /// The primary key is missing or another.
    Key,
    /// The index is missing or cannot serve.
    Index,
    /// A constraint, trigger, rule or policy that can refuse or change what the program writes.
    Interference,
    /// How the table is stored endangers its rows or its speed.
    Storage,
    /// A partition is missing.
    Partition,
    /// The role that is connected lacks a right.
    Rights,
}

impl FindingKind {
    /// A word for it.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::FindingKind::Index.name(), "index");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Version => "version",
            Self::Column => "column",
            Self::Type => "type",
            Self::Nullability => "nullability",
            Self::Default => "default",
            Self::Key => "key",
            Self::Index => "index",
            Self::Interference => "interference",
            Self::Storage => "storage",
            Self::Partition => "partition",
            Self::Rights => "rights",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the database said of the table, and what was found wrong with it so far.
pub(super) struct Comparison<'a> {
    pub(super) table: &'a TableName,
    pub(super) dialect: Dialect,
    pub(super) facts: &'a [Fact],
    pub(super) findings: Vec<Finding>,
}

impl<'a> Comparison<'a> {
    /// What was said of one kind of thing.
    pub(super) fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Fact> + use<'a> {
        self.facts.iter().filter(move |fact| fact.kind() == kind)
    }

    pub(super) fn find(&mut self, kind: FindingKind, text: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { kind, text: text.into(), remedy });
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.table.clone())
    }

    /// A change of the table as a remedy; SQLite can change no column and no key of a table that is there.
    pub(super) fn alter(&self, what: &str) -> Option<String> {
        (self.dialect == Dialect::Postgres).then(|| format!("ALTER TABLE {} {what};", self.table))
    }

    pub(super) fn role(&self) -> &'a str {
        self.of("role").next().map_or("this role", Fact::name)
    }
}
