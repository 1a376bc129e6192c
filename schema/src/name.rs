use std::fmt;

use crate::dialect::Dialect;
use crate::table::TABLE;

/// What Postgres keeps of a name. It cuts a longer one short without an error, and two names become one.
const LONGEST: usize = 63;

/// The name of a table, as its user chose it: of any characters, and harmless whatever they are.
///
/// A name is at most 63 bytes long, which is what Postgres keeps; SQLite takes longer ones, but a name that cannot move
/// to Postgres is refused here rather than on the day of the move.
///
/// Without a schema the database looks for the table itself: Postgres along the `search_path`, SQLite in the main
/// database and those attached.
///
/// ```
/// use cratestack_schema::TableName;
///
/// let name = TableName::new(Some("payments"), r#"keys "v2""#)?;
/// assert_eq!(name.sql(), r#""payments"."keys ""v2""""#);
///
/// // The table's own name needs no quotes, and its DDL is spelled without them.
/// assert_eq!(TableName::default().sql(), "cratestack_idempotency");
/// # Ok::<(), cratestack_schema::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl Default for TableName {
    fn default() -> Self {
        Self::of(TABLE)
    }
}

impl TableName {
    /// Of a name that this program made, and that is not checked.
    pub(crate) fn of(table: &str) -> Self {
        Self { schema: None, table: table.to_owned() }
    }

    /// A table of this name, in this schema or wherever the database finds it.
    ///
    /// # Errors
    ///
    /// When no database takes the name: it is empty, longer than 63 bytes, or contains a NUL character.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// assert!(TableName::new(None, "drop table").is_ok());
    /// let error = TableName::new(Some("app"), &"x".repeat(64)).unwrap_err();
    /// assert_eq!(error.to_string(), "the table's name is 64 bytes long, Postgres keeps 63");
    /// ```
    pub fn new(schema: Option<&str>, table: &str) -> Result<Self, NameError> {
        if let Some(schema) = schema {
            refuse(Part::Schema, schema)?;
        }
        refuse(Part::Table, table)?;
        Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned() })
    }

    /// The schema, where one was named.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::TableName::default().schema(), None);
    /// ```
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table's name without its schema, as it was given.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::TableName::default().table(), cratestack_schema::TABLE);
    /// ```
    pub fn table(&self) -> &str {
        &self.table
    }

    /// How a statement spells the name.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// let name = TableName::new(None, "select")?;
    /// assert_eq!(format!("TABLE {}", name.sql()), r#"TABLE "select""#);
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn sql(&self) -> String {
        self.beside(&self.table)
    }

    /// A string literal that holds [`sql`](Self::sql), for Postgres' `regclass`.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// let name = TableName::new(None, "it's")?;
    /// assert_eq!(name.regclass(), r#"'"it''s"'"#);
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn regclass(&self) -> String {
        literal(&self.sql())
    }

    /// Refuses a name that this database in particular reserves.
    ///
    /// # Errors
    ///
    /// For SQLite, when the table's name begins with `sqlite_`; for Postgres, when the schema's begins with `pg_`:
    /// nobody can create such a schema, and what is in `pg_temp` each session has for itself.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// let name = TableName::new(None, "SQLite_keys")?;
    /// assert!(name.check(Dialect::Postgres).is_ok());
    /// assert!(name.check(Dialect::Sqlite).is_err());
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn check(&self, dialect: Dialect) -> Result<(), NameError> {
        let part = match dialect {
            Dialect::Sqlite => {
                self.table.get(..7).filter(|start| start.eq_ignore_ascii_case("sqlite_")).map(|_| Part::Table)
            }
            Dialect::Postgres => self.schema().filter(|schema| schema.starts_with("pg_")).map(|_| Part::Schema),
        };
        part.map_or(Ok(()), |part| Err(NameError { part, flaw: Flaw::Reserved(dialect) }))
    }

    /// The flags of the command line that name the table, quoted for a shell; empty for the table's own name.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// assert_eq!(TableName::new(Some("app"), "it's")?.flags(), r" --schema app --table 'it'\''s'");
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(schema) = &self.schema {
            flags = format!(" --schema{}", shell(schema));
        }
        if self.table != TABLE {
            flags = format!("{flags} --table{}", shell(&self.table));
        }
        flags
    }

    /// A name beside this one: in the same schema, for what belongs to the table.
    pub(crate) fn beside(&self, name: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
            None => quoted(name),
        }
    }

    /// The table's name with a suffix, within what Postgres keeps.
    ///
    /// Where there is no room for both, a hash takes the place of the name's end: two long names that begin alike must
    /// not give one index.
    pub(crate) fn derived(&self, suffix: &str) -> String {
        let whole = format!("{}{suffix}", self.table);
        if whole.len() <= LONGEST {
            return whole;
        }
        let hash = format!("_{:016x}", fnv(self.table.as_bytes()));
        let mut end = LONGEST.saturating_sub(hash.len() + suffix.len()).min(self.table.len());
        while !self.table.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{hash}{suffix}", &self.table[..end])
    }
}

impl fmt::Display for TableName {
    /// As [`sql`](Self::sql).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql())
    }
}

fn refuse(part: Part, name: &str) -> Result<(), NameError> {
    let flaw = if name.is_empty() {
        Flaw::Empty
    } else if name.len() > LONGEST {
        Flaw::TooLong(name.len())
    } else if name.contains('\0') {
        Flaw::Nul
    } else {
        return Ok(());
    };
    Err(NameError { part, flaw })
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Schema,
    Table,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    Empty,
    TooLong(usize),
    Nul,
    Reserved(Dialect),
}

/// Why a name cannot be a table's.
///
/// ```
/// use cratestack_schema::TableName;
///
/// assert_eq!(TableName::new(Some(""), "keys").unwrap_err().to_string(), "the schema's name is empty");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    part: Part,
    flaw: Flaw,
}

impl NameError {
    /// Whether it is the schema's name that is refused, not the table's.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// assert!(TableName::new(Some("a\0b"), "keys").unwrap_err().is_schema());
    /// ```
    pub fn is_schema(&self) -> bool {
        self.part == Part::Schema
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Schema => "the schema's name",
            Part::Table => "the table's name",
        };
        match self.flaw {
            Flaw::Empty => write!(f, "{part} is empty"),
            Flaw::TooLong(length) => write!(f, "{part} is {length} bytes long, Postgres keeps {LONGEST}"),
            Flaw::Nul => write!(f, "{part} contains a NUL character, which no database takes"),
            Flaw::Reserved(Dialect::Sqlite) => write!(f, "{part} begins with sqlite_, which SQLite keeps for itself"),
            Flaw::Reserved(Dialect::Postgres) => write!(f, "{part} begins with pg_, which Postgres keeps for itself"),
        }
    }
}

impl std::error::Error for NameError {}

/// An identifier, whatever it contains.
///
/// Always in quotes, so that no list of reserved words can be out of date, except for the names of our own, which were
/// published without.
pub(crate) fn quoted(name: &str) -> String {
    let ours = name
        .strip_prefix(TABLE)
        .is_some_and(|rest| rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    if ours { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A string, whatever it contains, under either setting of Postgres' `standard_conforming_strings`.
fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// What follows a flag. After a space, a word that begins with a hyphen would be a flag of its own.
fn shell(word: &str) -> String {
    let joint = if word.starts_with('-') { '=' } else { ' ' };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/');
    if word.bytes().all(plain) { format!("{joint}{word}") } else { format!("{joint}'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
