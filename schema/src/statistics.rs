use std::fmt::{self, Write as _};

use crate::columns::{CREATED_AT, EXPIRES_AT, RESPONSE_STATUS};
use crate::{Dialect, Inspection, TableName};

/// What the table holds, and how much room it takes.
///
/// ```
/// use cratestack_schema::{Statistics, TableName};
///
/// let numbers = [12, 1, 2, 3, 86_400, 8_192, 16_384].map(Some);
/// let statistics = Statistics::new(&TableName::default(), numbers);
/// assert_eq!((statistics.rows, statistics.past_lease), (12, 2));
/// assert!(statistics.to_string().contains("past their lease             2"));
/// assert!(statistics.to_json().contains("\"oldest_seconds\":86400"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// The table.
    pub name: TableName,
    /// All rows.
    pub rows: u64,
    /// Reserved, and held.
    pub in_flight: u64,
    /// Reserved, and up for takeover: their holders are silent.
    pub past_lease: u64,
    /// Expired, and not yet swept.
    pub expired: u64,
    /// How long ago the oldest row was reserved; `None` where there is no row.
    pub oldest_seconds: Option<u64>,
    /// Bytes of the rows; `None` where the database does not tell.
    pub table_bytes: Option<u64>,
    /// Bytes of the indexes; `None` where the database does not tell.
    pub index_bytes: Option<u64>,
}

impl Inspection {
    /// The query for [`Statistics::new`]: one row of seven numbers. It reads the whole table.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let found = IDEMPOTENCY.named(TableName::default()).inspect(Dialect::Postgres, []);
    /// assert!(found.statistics().contains("FROM cratestack_idempotency AS held"));
    /// ```
    pub fn statistics(&self) -> String {
        let (table, dialect) = (&self.table, self.dialect);
        let now = dialect.now();
        // Version 1 knows no lease: a reservation holds until its row expires.
        let dead = if self.version().is_some_and(|version| version < 2) {
            format!("held.{EXPIRES_AT} <= {now}")
        } else {
            dialect.dead("held")
        };
        let (oldest, sizes) = match dialect {
            Dialect::Postgres => {
                let regclass = table.regclass();
                let size = |function: &str| {
                    format!(
                        "COALESCE((SELECT SUM({function}(relid)) FROM pg_partition_tree({regclass}::regclass)), \
                         {function}({regclass}::regclass))::bigint"
                    )
                };
                (
                    format!("EXTRACT(EPOCH FROM {now} - MIN(held.{CREATED_AT}))::bigint"),
                    format!("{}, {}", size("pg_table_size"), size("pg_indexes_size")),
                )
            }
            Dialect::Sqlite => {
                let name = crate::name::literal(dialect, table.name.table());
                let schema = crate::name::literal(dialect, table.name.schema().unwrap_or("main"));
                let size = |what: &str| {
                    format!(
                        "(SELECT SUM(pgsize) FROM dbstat({schema}) WHERE aggregate = TRUE AND name IN (
                            SELECT name FROM pragma_{what}))"
                    )
                };
                (
                    format!("({now} - MIN(held.{CREATED_AT})) / 1000"),
                    format!(
                        "{}, {}",
                        size(&format!("table_list WHERE name = {name} COLLATE NOCASE")),
                        size(&format!("index_list({name}, {schema})"))
                    ),
                )
            }
        };
        format!(
            "SELECT COUNT(*),
            COUNT(*) FILTER (WHERE held.{RESPONSE_STATUS} IS NULL AND NOT {dead}),
            COUNT(*) FILTER (WHERE held.{RESPONSE_STATUS} IS NULL AND {dead} AND held.{EXPIRES_AT} > {now}),
            COUNT(*) FILTER (WHERE held.{EXPIRES_AT} <= {now}),
            {oldest}, {sizes}
        FROM {} AS held",
            table.sql(dialect)
        )
    }
}

impl Statistics {
    /// From the numbers of [`Inspection::statistics`].
    ///
    /// ```
    /// use cratestack_schema::{Statistics, TableName};
    ///
    /// assert_eq!(Statistics::new(&TableName::default(), [None; 7]).oldest_seconds, None);
    /// ```
    pub fn new(name: &TableName, numbers: [Option<i64>; 7]) -> Self {
        let [rows, in_flight, past_lease, expired, oldest, table, index] =
            numbers.map(|number| number.map(|number| u64::try_from(number).unwrap_or_default()));
        Self {
            name: name.clone(),
            rows: rows.unwrap_or_default(),
            in_flight: in_flight.unwrap_or_default(),
            past_lease: past_lease.unwrap_or_default(),
            expired: expired.unwrap_or_default(),
            oldest_seconds: oldest,
            table_bytes: table,
            index_bytes: index,
        }
    }

    /// One JSON object on one line.
    ///
    /// ```
    /// use cratestack_schema::{Statistics, TableName};
    ///
    /// let json = Statistics::new(&TableName::default(), [Some(1); 7]).to_json();
    /// assert!(json.starts_with(r#"{"schema":null,"table":"cratestack_idempotency","rows":1,"#));
    /// ```
    pub fn to_json(&self) -> String {
        let number = |number: Option<u64>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
        format!(
            "{{\"schema\":{},\"table\":{},\"rows\":{},\"in_flight\":{},\"past_lease\":{},\"expired\":{},\
             \"oldest_seconds\":{},\"table_bytes\":{},\"index_bytes\":{}}}",
            self.name.schema().map_or_else(|| "null".to_owned(), json),
            json(self.name.table()),
            self.rows,
            self.in_flight,
            self.past_lease,
            self.expired,
            number(self.oldest_seconds),
            number(self.table_bytes),
            number(self.index_bytes),
        )
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        writeln!(f, "{}", self.name)?;
        for (what, value) in [
            ("rows", self.rows.to_string()),
            ("in flight", self.in_flight.to_string()),
            ("past their lease", self.past_lease.to_string()),
            ("expired, not swept", self.expired.to_string()),
            ("oldest", self.oldest_seconds.map_or_else(|| "-".to_owned(), duration)),
            ("table", self.table_bytes.map_or_else(unknown, size)),
            ("indexes", self.index_bytes.map_or_else(unknown, size)),
        ] {
            writeln!(f, "  {what:<20}{value:>10}")?;
        }
        Ok(())
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

fn json(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_any_name() {
        let name = TableName::new(Some("a\"b"), "c\\d\ne").unwrap();
        let text = Statistics::new(&name, [None; 7]).to_json();
        assert!(text.contains(r#""schema":"a\"b","table":"c\\d\u000ae","rows":0"#), "{text}");
        assert!(text.ends_with(r#""oldest_seconds":null,"table_bytes":null,"index_bytes":null}"#), "{text}");
    }

    #[test]
    fn sizes_and_ages_are_readable() {
        assert_eq!([9_999, 10_000, 12_345_678, 98_765_432_100].map(size), ["9999 B", "10 kB", "12 MB", "98 GB"]);
        assert_eq!([59, 60, 7_200, 200_000].map(duration), ["59 s", "1 min", "2 h", "2 d"]);
    }
}
