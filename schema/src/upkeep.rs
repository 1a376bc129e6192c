use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::columns::{
    CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS, STEPS,
    STEPS_TOKEN,
};

/// The SQL expression for when the lease of a row ends, in SQL that all dialects speak.
///
/// A lease counts only if it ends after `created_at`. Other programs share this table that know no lease: they take
/// over an expired row by setting `created_at` to now and leave the lease column as it was. A lease never outlasts its
/// row's `expires_at`, and they wait for that, so a lease that is left over from before such a takeover ends no later
/// than the new `created_at`: it is recognised, and the row's lease is its `expires_at`. A row that such a program
/// inserted has NULL there, and its lease is its `expires_at`, too.
///
/// ```
/// let end = cratestack_schema::lease_end("held");
/// assert!(end.starts_with("CASE WHEN held.lease_expires_at > held.created_at THEN held.lease_expires_at"));
/// assert!(end.ends_with("ELSE held.expires_at END"));
/// ```
pub fn lease_end(row: &str) -> String {
    format!(
        "CASE WHEN {row}.{LEASE_EXPIRES_AT} > {row}.{CREATED_AT} THEN {row}.{LEASE_EXPIRES_AT} \
         ELSE {row}.{EXPIRES_AT} END"
    )
}

/// The condition under which a row has steps, in SQL that all dialects speak: its latest run recorded them, or took them
/// over.
///
/// Programs that know no steps change a row's token and leave its steps as they are. What they took over, or gave to
/// another request, is then of another token than its steps, which count for nobody.
///
/// ```
/// let condition = cratestack_schema::has_steps("held");
/// assert!(condition.contains("held.steps_token = held.reservation_id"));
/// ```
pub fn has_steps(row: &str) -> String {
    format!("COALESCE({row}.{STEPS_TOKEN} = {row}.{RESERVATION_ID} AND {row}.{STEPS} IS NOT NULL, FALSE)")
}

/// The row that is written when a record is removed whose outcome processes may keep in memory: its token changes, and
/// a process that sees another token drops what it keeps. It is nobody's: a caller without a name is refused.
pub(crate) const FORGOTTEN_PRINCIPAL: &str = "";
pub(crate) const FORGOTTEN_KEY: &str = "forgotten";

/// Of the row `held`: that it is a record, and not the one that tells processes to drop what they keep.
pub(crate) fn is_record() -> String {
    format!("held.{PRINCIPAL_FINGERPRINT} <> '{FORGOTTEN_PRINCIPAL}'")
}

impl TableName {
    /// The statement that deletes expired rows, the oldest first, at most as many as its one parameter says.
    ///
    /// On Postgres a row that somebody holds is left for later, so several sweepers at once share the work: none waits
    /// for another, and each row is deleted by one of them.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// let sweep = TableName::default().sweep(Dialect::Postgres);
    /// assert!(sweep.contains("LIMIT $1 FOR UPDATE SKIP LOCKED"));
    /// ```
    pub fn sweep(&self, dialect: Dialect) -> String {
        let (table, now) = (self.sql(), dialect.now());
        match dialect {
            // By `ctid`, because a join on the key may be planned as a scan of the table. In a partitioned table a
            // `ctid` is another row's in each partition, hence `tableoid` beside it; as text, since before version 14
            // Postgres cannot hash a `ctid`.
            //
            // The condition on the expiry is checked on the version of the row that is deleted: a row that was renewed
            // or taken over meanwhile stays. It is put so that the index cannot serve it; else each sweep may be
            // planned as a walk over all that is expired, however small the limit.
            Dialect::Postgres => format!(
                "WITH picked AS MATERIALIZED (
                    SELECT tableoid::text || ctid::text AS id, ctid AS place FROM {table}
                    WHERE {EXPIRES_AT} <= {now}
                    ORDER BY {EXPIRES_AT} LIMIT $1 FOR UPDATE SKIP LOCKED
                )
                DELETE FROM {table}
                WHERE {EXPIRES_AT} + INTERVAL '0' <= {now} AND ctid = ANY (ARRAY(SELECT place FROM picked))
                  AND tableoid::text || ctid::text IN (SELECT id FROM picked)"
            ),
            Dialect::Sqlite => format!(
                "DELETE FROM {table} WHERE rowid IN (
                    SELECT rowid FROM {table} WHERE {EXPIRES_AT} <= {now} ORDER BY {EXPIRES_AT} LIMIT ?1
                )"
            ),
        }
    }

    /// The statement that counts what a sweep would find, by the index.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, TableName};
    ///
    /// let count = TableName::default().expired(Dialect::Postgres);
    /// assert_eq!(count, "SELECT count(*) FROM cratestack_idempotency WHERE expires_at <= NOW()");
    /// ```
    pub fn expired(&self, dialect: Dialect) -> String {
        format!("SELECT count(*) FROM {} WHERE {EXPIRES_AT} <= {}", self.sql(), dialect.now())
    }

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
        let (table, now, lease, is_record) = (self.sql(), dialect.now(), lease_end("held"), is_record());
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
                FROM {table} AS held WHERE {is_record}",
                regclass = self.regclass(),
            ),
            // A page belongs to a table or to an index, but only the extension `dbstat` could tell; it is not
            // everywhere, so a size is the whole file's.
            Dialect::Sqlite => format!(
                "SELECT {counts}, ({now} - min({CREATED_AT})) / 1000,
                    (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size), NULL
                FROM {table} AS held WHERE {is_record}"
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
