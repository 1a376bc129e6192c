use crate::dialect::Dialect;
use crate::name::TableName;
use crate::table::columns::EXPIRES_AT;

impl TableName {
    /// The statement that deletes expired rows, the oldest first, at most as many as its one parameter says.
    ///
    /// On Postgres a row that somebody holds is left for later, so several sweepers at once share the work: none waits for
    /// another, and each row is deleted by one of them.
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
}
