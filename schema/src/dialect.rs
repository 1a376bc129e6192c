use std::fmt;
use std::str::FromStr;

/// Milliseconds since the Unix epoch, the same throughout a statement.
///
/// A REAL of seconds times 1000 can land a hair under the whole millisecond that it stands for, and truncating would
/// then lose one. In parentheses, without which SQLite takes no expression for a column's default.
pub(crate) const SQLITE_NOW: &str = "(CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER))";

/// A database's way to say it.
///
/// ```
/// use cratestack_schema::Dialect;
///
/// assert_eq!("sqlite".parse(), Ok(Dialect::Sqlite));
/// assert_eq!(Dialect::Postgres.to_string(), "postgres");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL 12 or newer.
    Postgres,
    /// SQLite 3.42 or newer. Times are INTEGER milliseconds since the Unix epoch.
    Sqlite,
}

impl Dialect {
    /// All of them.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Dialect::ALL.len(), 2);
    /// ```
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];

    /// The name that the command line uses.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Dialect::Postgres.name(), "postgres");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }

    /// The SQL expression for the present, as the table's times are written.
    ///
    /// On Postgres that is when the transaction began, which a sweep or a count may go by. A lease may not: it is
    /// counted from `clock_timestamp()`, as a transaction can have waited since it began.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Dialect::Postgres.now(), "NOW()");
    /// ```
    pub const fn now(self) -> &'static str {
        match self {
            Self::Postgres => "NOW()",
            Self::Sqlite => SQLITE_NOW,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name).ok_or_else(|| {
            format!("there is no dialect {name:?}; there are {}", Self::ALL.map(Self::name).join(" and "))
        })
    }
}
