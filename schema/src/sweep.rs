use crate::columns::{CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, RESPONSE_STATUS};
use crate::name::literal;
use crate::{Dialect, NamedTable};

/// First half of the advisory locks' keys ("crst"), so that they meet nobody else's.
///
/// ```
/// assert_eq!(cratestack_schema::LOCK_CLASS.to_be_bytes(), *b"crst");
/// ```
pub const LOCK_CLASS: i32 = 0x6372_7374;

impl Dialect {
    /// The current time, the same throughout a statement, in the form that the table keeps.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::Dialect::Postgres.now(), "NOW()");
    /// ```
    pub const fn now(self) -> &'static str {
        match self {
            Self::Postgres => "NOW()",
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
        }
    }

    /// The condition under which a row may be taken over, for a table named `row` in its statement.
    ///
    /// A lease counts only if it ends after `created_at`. Other programs share this table that know no lease: they take
    /// over an expired row by setting `created_at` to now and leave our lease column as it was. A lease of ours never
    /// outlasts its row's `expires_at`, and they wait for that, so a lease that is left over from before such a takeover
    /// ends no later than the new `created_at`: it is recognised, and the row's lease is its `expires_at`.
    ///
    /// ```
    /// use cratestack_schema::Dialect;
    ///
    /// assert!(Dialect::Postgres.dead("held").starts_with("(held.expires_at <= NOW() OR "));
    /// ```
    pub fn dead(self, row: &str) -> String {
        let now = self.now();
        format!(
            "({row}.{EXPIRES_AT} <= {now} OR ({row}.{RESPONSE_STATUS} IS NULL AND \
             CASE WHEN {row}.{LEASE_EXPIRES_AT} > {row}.{CREATED_AT} THEN {row}.{LEASE_EXPIRES_AT} \
             ELSE {row}.{EXPIRES_AT} END <= {now}))"
        )
    }
}

impl NamedTable {
    /// The statement that deletes expired rows, as many as its one parameter says; how many it was is the number of
    /// rows that it affected.
    ///
    /// Of several at once on Postgres one does the work, and the others find nothing.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let statement = IDEMPOTENCY.named(TableName::default()).sweep(Dialect::Sqlite);
    /// assert!(statement.starts_with("DELETE FROM cratestack_idempotency"));
    /// ```
    pub fn sweep(&self, dialect: Dialect) -> String {
        let (table, now) = (self.sql(dialect), dialect.now());
        match dialect {
            // By `ctid`, because a join on the key may be planned as a scan of the table; by `tableoid` also, as one
            // partition's `ctid` means another row in the next. The outer condition on the time is checked on the version
            // of the row that is deleted: a row that was renewed or taken over meanwhile stays. It is put so that the
            // index on `expires_at` cannot serve it; else each sweep may be planned as a walk over all that is expired,
            // however small the limit. The advisory lock goes with the statement's transaction.
            Dialect::Postgres => format!(
                "WITH doomed AS MATERIALIZED (
            SELECT tableoid AS relation, ctid AS place FROM {table}
            WHERE {EXPIRES_AT} <= {now}
              AND (SELECT pg_try_advisory_xact_lock({LOCK_CLASS}, {regclass}::regclass::oid::int))
            ORDER BY {EXPIRES_AT} LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        DELETE FROM {table} WHERE {EXPIRES_AT} + INTERVAL '0' <= {now}
            AND ctid = ANY (ARRAY(SELECT place FROM doomed))
            AND (tableoid, ctid) IN (SELECT relation, place FROM doomed)",
                regclass = self.regclass(),
            ),
            Dialect::Sqlite => format!(
                "DELETE FROM {table} WHERE rowid IN (
            SELECT rowid FROM {table} WHERE {EXPIRES_AT} <= {now} ORDER BY {EXPIRES_AT} LIMIT ?1
        )"
            ),
        }
    }

    /// The query for how many rows have expired.
    ///
    /// ```
    /// use cratestack_schema::{Dialect, IDEMPOTENCY, TableName};
    ///
    /// let query = IDEMPOTENCY.named(TableName::default()).expired(Dialect::Postgres);
    /// assert_eq!(query, "SELECT COUNT(*) FROM cratestack_idempotency WHERE expires_at <= NOW()");
    /// ```
    pub fn expired(&self, dialect: Dialect) -> String {
        format!("SELECT COUNT(*) FROM {} WHERE {EXPIRES_AT} <= {}", self.sql(dialect), dialect.now())
    }

    /// The name as Postgres' `regclass` reads it, in a constant.
    pub(crate) fn regclass(&self) -> String {
        // Quoted as plainly as can be: what reads it knows no `U&""`.
        let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
        let table = if self.sql(Dialect::Postgres) == self.name.table() {
            self.name.table().to_owned()
        } else {
            let schema = self.name.schema().map(|schema| quoted(schema) + ".").unwrap_or_default();
            schema + &quoted(self.name.table())
        };
        literal(Dialect::Postgres, &table)
    }
}
