use std::fmt;

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
