use crate::dialect::Dialect;
use crate::lease::lease_end;
use crate::name::TableName;
use crate::table::columns::{CREATED_AT, EXPIRES_AT, RESPONSE_STATUS};

impl TableName {
    /// The statement that counts the rows: one row of seven integers, in the order of [`Stats`](crate::Stats).
    ///
    /// Reads the whole table once.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// assert!(TableName::default().stats(Dialect::Sqlite).contains("FROM cratestack_idempotency"));
    /// ```
    pub fn stats(&self, dialect: Dialect) -> String {
        let (table, now, lease) = (self.sql(), dialect.now(), lease_end("held"));
        let running = format!("{EXPIRES_AT} > {now} AND {RESPONSE_STATUS} IS NULL");
        let counts = format!(
            "count(*),
            count(*) FILTER (WHERE {running} AND {lease} > {now}),
            count(*) FILTER (WHERE {running} AND {lease} <= {now}),
            count(*) FILTER (WHERE {EXPIRES_AT} <= {now})"
        );
        match dialect {
            Dialect::Postgres => format!(
                "WITH RECURSIVE parts(relid) AS (
                    SELECT {regclass}::regclass::oid
                    UNION ALL
                    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN parts AS p ON p.relid = i.inhparent
                )
                SELECT {counts},
                    LEAST(EXTRACT(EPOCH FROM NOW() - min({CREATED_AT})), 9e15)::bigint,
                    (SELECT sum(pg_table_size(relid))::bigint FROM parts),
                    (SELECT sum(pg_indexes_size(relid))::bigint FROM parts)
                FROM {table} AS held",
                regclass = self.regclass(),
            ),
            // A page belongs to a table or to an index, but only the extension `dbstat` could tell; it is not
            // everywhere, so a size is the whole file's.
            Dialect::Sqlite => format!(
                "SELECT {counts}, ({now} - min({CREATED_AT})) / 1000,
                    (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size), NULL
                FROM {table} AS held"
            ),
        }
    }
}

/// What [`TableName::stats`] found.
///
/// ```
/// use cratestack_schema::Stats;
///
/// let stats = Stats { rows: 12, in_flight: 2, past_lease: 1, expired: 4, ..Stats::default() };
/// assert_eq!(stats.finished(), 5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// All rows.
    pub rows: i64,
    /// Rows whose request is running.
    pub in_flight: i64,
    /// Rows whose request left no outcome while its lease lasted: a retry of it takes them over.
    pub past_lease: i64,
    /// Rows that have expired and were not swept yet.
    pub expired: i64,
    /// How many seconds ago the oldest row was reserved; `None` without any row.
    pub oldest_seconds: Option<i64>,
    /// How many bytes the table takes; for SQLite, the database.
    pub table_bytes: i64,
    /// How many bytes the table's indexes take; `None` where the database does not tell.
    pub index_bytes: Option<i64>,
}

impl Stats {
    /// Rows that hold an outcome to replay.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Stats::default().finished(), 0);
    /// ```
    pub fn finished(&self) -> i64 {
        self.rows - self.in_flight - self.past_lease - self.expired
    }

    /// As one line of JSON.
    ///
    /// ```
    /// let json = cratestack_schema::Stats::default().json();
    /// assert!(json.starts_with(r#"{"rows":0,"in_flight":0,"#) && json.ends_with(r#""index_bytes":null}"#));
    /// ```
    pub fn json(&self) -> String {
        let or_null = |number: Option<i64>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
        format!(
            r#"{{"rows":{},"in_flight":{},"past_lease":{},"expired":{},"finished":{},"oldest_seconds":{},"table_bytes":{},"index_bytes":{}}}"#,
            self.rows,
            self.in_flight,
            self.past_lease,
            self.expired,
            self.finished(),
            or_null(self.oldest_seconds),
            self.table_bytes,
            or_null(self.index_bytes),
        )
    }
}
