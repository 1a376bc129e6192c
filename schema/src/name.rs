use std::fmt::{self, Write as _};

use crate::{Dialect, TABLE};

/// The longest name that Postgres keeps whole; it cuts longer ones, and two that were cut can be one.
const LONGEST: usize = 63;

/// What the table is called, and which schema it is in.
///
/// Any name that both databases take, exactly as it is spelled: case counts, and nothing in it is read as SQL. It is
/// quoted where it must be. A schema is a Postgres schema, or an attached database of SQLite (`main` is the first);
/// without one the table is looked for as the database does it, along the `search_path`.
///
/// ```
/// use cratestack_schema::{Dialect, TableName};
///
/// let plain = TableName::new(Some("billing"), "payment_keys")?;
/// assert_eq!(plain.sql(Dialect::Postgres), "billing.payment_keys");
///
/// let odd = TableName::new(None, "Robert\"; DROP TABLE students;--")?;
/// assert_eq!(odd.sql(Dialect::Postgres), "\"Robert\"\"; DROP TABLE students;--\"");
/// # Ok::<(), cratestack_schema::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<Box<str>>,
    table: Box<str>,
}

impl TableName {
    /// A table's name, in a schema or where the database looks by itself.
    ///
    /// # Errors
    ///
    /// When a database could not keep the name as it is: it is empty, contains NUL, has more than 63 bytes (also for
    /// SQLite, so that a service can move), or has a prefix that a database reserves for itself.
    ///
    /// ```
    /// use cratestack_schema::TableName;
    ///
    /// assert!(TableName::new(None, "Zahlungs-Schlüssel").is_ok());
    /// let error = TableName::new(None, &"x".repeat(64)).unwrap_err();
    /// assert_eq!(error.to_string(), "the table's name has 64 bytes; Postgres would cut it to 63");
    /// ```
    pub fn new(schema: Option<&str>, table: &str) -> Result<Self, NameError> {
        if let Some(schema) = schema {
            usable(schema, "schema")?;
            // Nobody can create such a schema, and a temporary one would hide the keys from everybody else.
            if schema.starts_with("pg_") {
                return Err(NameError { part: "schema", reason: Reason::Prefix("pg_", "Postgres") });
            }
        }
        usable(table, "table")?;
        if table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
            return Err(NameError { part: "table", reason: Reason::Prefix("sqlite_", "SQLite") });
        }
        Ok(Self { schema: schema.map(Box::from), table: Box::from(table) })
    }

    /// The schema, as it was given.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::TableName::default().schema(), None);
    /// ```
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table, as it was given.
    ///
    /// ```
    /// use cratestack_schema::{TABLE, TableName};
    ///
    /// assert_eq!(TableName::default().table(), TABLE);
    /// ```
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The name as a statement spells it.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// let name = TableName::new(Some("main"), "order")?;
    /// assert_eq!(name.sql(Dialect::Sqlite), "main.\"order\"");
    /// # Ok::<(), cratestack_schema::NameError>(())
    /// ```
    pub fn sql(&self, dialect: Dialect) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(dialect, schema), identifier(dialect, &self.table)),
            None => identifier(dialect, &self.table),
        }
    }

    /// Another name in the same schema.
    pub(crate) fn sibling(&self, table: String) -> Self {
        Self { schema: self.schema.clone(), table: table.into() }
    }

    /// The name of something that belongs to the table. Of two tables never the same: where the table's own name leaves
    /// too little room, a hash of it takes the place of its end.
    pub(crate) fn derived(&self, suffix: &str) -> String {
        let whole = format!("{}_{suffix}", self.table);
        if whole.len() <= LONGEST {
            return whole;
        }
        let tail = format!("_{:016x}_{suffix}", fnv(&self.table));
        let mut end = LONGEST.saturating_sub(tail.len()).min(self.table.len());
        while !self.table.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{tail}", self.table.get(..end).unwrap_or_default())
    }

    /// Whether the name can break the line that it stands on.
    pub(crate) fn breaks_lines(&self) -> bool {
        [self.schema.as_deref(), Some(&*self.table)].into_iter().flatten().any(|part| part.contains(char::is_control))
    }
}

/// The name that the table has unless it is given another.
impl Default for TableName {
    fn default() -> Self {
        Self { schema: None, table: TABLE.into() }
    }
}

/// For people: as Postgres spells it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql(Dialect::Postgres))
    }
}

/// A name that a database could not keep as it is.
///
/// ```
/// use cratestack_schema::TableName;
///
/// assert_eq!(TableName::new(Some(""), "keys").unwrap_err().to_string(), "the schema's name is empty");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    part: &'static str,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Empty,
    Nul,
    Long(usize),
    Prefix(&'static str, &'static str),
}

impl NameError {
    /// Which name it is about: `schema` or `table`.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::TableName::new(None, "").unwrap_err().part(), "table");
    /// ```
    pub fn part(&self) -> &'static str {
        self.part
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}'s name ", self.part)?;
        match self.reason {
            Reason::Empty => f.write_str("is empty"),
            Reason::Nul => f.write_str("contains a NUL character, which no database takes"),
            Reason::Long(bytes) => write!(f, "has {bytes} bytes; Postgres would cut it to {LONGEST}"),
            Reason::Prefix(prefix, owner) => write!(f, "begins with {prefix}, which {owner} reserves for itself"),
        }
    }
}

impl std::error::Error for NameError {}

fn usable(name: &str, part: &'static str) -> Result<(), NameError> {
    let reason = if name.is_empty() {
        Reason::Empty
    } else if name.contains('\0') {
        Reason::Nul
    } else if name.len() > LONGEST {
        Reason::Long(name.len())
    } else {
        return Ok(());
    };
    Err(NameError { part, reason })
}

/// `name` as an identifier, quoted where it must be.
pub(crate) fn identifier(dialect: Dialect, name: &str) -> String {
    if is_plain(name) {
        return name.to_owned();
    }
    // Migration tools read files line by line, and what they look for could begin a line of the name.
    if dialect == Dialect::Postgres && name.contains(char::is_control) {
        let mut text = "U&\"".to_owned();
        for character in name.chars() {
            match character {
                '"' => text.push_str("\"\""),
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    let _ = write!(text, "\\{:04X}", u32::from(control));
                }
                other => text.push(other),
            }
        }
        text.push('"');
        return text;
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a string constant.
pub(crate) fn literal(dialect: Dialect, text: &str) -> String {
    let quoted = text.replace('\'', "''");
    // Whether a backslash escapes in an ordinary constant is a setting of the Postgres session; in this one it does.
    if dialect == Dialect::Postgres && text.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// Whether both databases read the bare word as this name, and as nothing else.
fn is_plain(name: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.bytes().next().is_some_and(begins)
        && name.bytes().all(|byte| begins(byte) || byte.is_ascii_digit())
        && KEYWORDS.binary_search(&name).is_err()
}

/// FNV-1a: it must never change, as names in databases depend on it.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The words that may not stand bare as a table's name: those of Postgres up to 18 that are reserved or bound to a
/// place, and all of SQLite's. Sorted.
const KEYWORDS: &[&str] = &[
    "abort",
    "action",
    "add",
    "after",
    "all",
    "alter",
    "always",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "attach",
    "authorization",
    "autoincrement",
    "before",
    "begin",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "by",
    "cascade",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "commit",
    "concurrently",
    "conflict",
    "constraint",
    "create",
    "cross",
    "current",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "database",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "deferred",
    "delete",
    "desc",
    "detach",
    "distinct",
    "do",
    "drop",
    "each",
    "else",
    "end",
    "escape",
    "except",
    "exclude",
    "exclusive",
    "exists",
    "explain",
    "extract",
    "fail",
    "false",
    "fetch",
    "filter",
    "first",
    "float",
    "following",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "generated",
    "glob",
    "grant",
    "graph_table",
    "greatest",
    "group",
    "grouping",
    "groups",
    "having",
    "if",
    "ignore",
    "ilike",
    "immediate",
    "in",
    "index",
    "indexed",
    "initially",
    "inner",
    "inout",
    "insert",
    "instead",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "key",
    "last",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "match",
    "materialized",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "no",
    "none",
    "normalize",
    "not",
    "nothing",
    "notnull",
    "null",
    "nullif",
    "nulls",
    "numeric",
    "of",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "others",
    "out",
    "outer",
    "over",
    "overlaps",
    "overlay",
    "partition",
    "placing",
    "plan",
    "position",
    "pragma",
    "preceding",
    "precision",
    "primary",
    "query",
    "raise",
    "range",
    "real",
    "recursive",
    "references",
    "regexp",
    "reindex",
    "release",
    "rename",
    "replace",
    "restrict",
    "returning",
    "right",
    "rollback",
    "row",
    "rows",
    "savepoint",
    "select",
    "session_user",
    "set",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "temp",
    "temporary",
    "then",
    "ties",
    "time",
    "timestamp",
    "to",
    "trailing",
    "transaction",
    "treat",
    "trigger",
    "trim",
    "true",
    "unbounded",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "vacuum",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "view",
    "virtual",
    "when",
    "where",
    "window",
    "with",
    "within",
    "without",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn the_default_is_bare() {
        for dialect in Dialect::ALL {
            assert_eq!(TableName::default().sql(dialect), TABLE);
        }
        assert_eq!(TableName::default().derived("expires_idx"), "cratestack_idempotency_expires_idx");
    }

    #[test]
    fn names_that_no_database_keeps_are_refused() {
        for bad in ["", "a\0b", &"é".repeat(32)] {
            assert_eq!(TableName::new(None, bad).unwrap_err().part(), "table", "{bad:?}");
            assert_eq!(TableName::new(Some(bad), "t").unwrap_err().part(), "schema", "{bad:?}");
        }
        for (schema, table) in [(Some("pg_temp"), "t"), (Some("pg_"), "t"), (None, "sqlite_x"), (None, "SQLite_x")] {
            assert!(TableName::new(schema, table).is_err(), "{schema:?} {table:?}");
        }
        for fine in ["é", "sqlité_", "pg_x", &"x".repeat(63)] {
            assert!(TableName::new(None, fine).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn whatever_could_be_read_otherwise_is_quoted() {
        for (name, sql) in [
            ("a_1", "a_1"),
            ("_", "_"),
            ("1a", "\"1a\""),
            ("Keys", "\"Keys\""),
            ("user", "\"user\""),
            ("a b", "\"a b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a'b\\", "\"a'b\\\""),
            ("schlüssel", "\"schlüssel\""),
            ("a$b", "\"a$b\""),
            ("a\nb\\\"", "U&\"a\\000Ab\\\\\"\"\""),
        ] {
            assert_eq!(identifier(Dialect::Postgres, name), sql);
        }
        assert_eq!(identifier(Dialect::Sqlite, "a\nb"), "\"a\nb\"");
    }

    #[test]
    fn a_constant_ends_where_it_should_in_every_session() {
        assert_eq!(literal(Dialect::Postgres, "it's"), "'it''s'");
        assert_eq!(literal(Dialect::Postgres, "\\'; --"), "E'\\\\''; --'");
        assert_eq!(literal(Dialect::Sqlite, "\\'"), "'\\'''");
    }

    #[test]
    fn derived_names_fit_and_stay_apart() {
        let name = |text: &str| TableName::new(None, text).unwrap().derived("expires_idx");
        assert_eq!(name(&"x".repeat(51)), format!("{}_expires_idx", "x".repeat(51)));
        for long in ["x".repeat(52), "x".repeat(63), "é".repeat(31), "a€".repeat(15)] {
            let derived = name(&long);
            assert!(derived.len() <= LONGEST && derived.ends_with("_expires_idx"), "{derived}");
            let other = format!("{}y", &long[..long.len() - long.chars().last().unwrap().len_utf8()]);
            assert_ne!(name(&other), derived);
        }
    }
}
