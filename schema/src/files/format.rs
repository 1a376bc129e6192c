use std::fmt;
use std::str::FromStr;

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
