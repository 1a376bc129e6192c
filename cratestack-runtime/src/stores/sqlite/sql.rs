use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use cratestack_schema::{Dialect, TableName};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{SqlStr, Sqlite};
use uuid::Uuid;

use crate::stores::row::{dead, shared};

/// Milliseconds since the Unix epoch, the same throughout a statement. SQLite looks at the clock once the statement has the
/// lock to write that it waited for.
const NOW: &str = "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)";

/// The statements, built once per store. Nothing but names goes into their text: the schema's columns,
/// and the table's, which cannot leave its quotes.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) name: TableName,
    live: SqlStr,
    claim: SqlStr,
    renew: SqlStr,
    finish: SqlStr,
    of_token: SqlStr,
    release: SqlStr,
    lapse: SqlStr,
    pub(super) sweep: SqlStr,
    pub(super) attempted: SqlStr,
    pub(super) record: SqlStr,
}

impl Statements {
    pub(super) fn new(name: TableName) -> Self {
        let table = &name.sql();
        Self {
            live: shared(live(table)),
            claim: shared(claim(table)),
            renew: shared(renew(table)),
            finish: shared(finish(table)),
            of_token: shared(of_token(table)),
            release: shared(release(table)),
            lapse: shared(lapse(table)),
            sweep: shared(name.sweep(Dialect::Sqlite)),
            attempted: shared(attempted(table)),
            record: shared(record(table)),
            name,
        }
    }

    pub(super) fn live(&self, (principal, key): Names<'_>, request_hash: &[u8; 32]) -> Statement {
        sqlx::query(self.live.clone()).bind(principal).bind(key).bind(request_hash.as_slice())
    }

    /// To be fetched to its end: SQLite commits a statement when it has been stepped to its end, and sqlx would drop it,
    /// and an error in committing with it, once it has a row.
    pub(super) fn claim(
        &self,
        (principal, key): Names<'_>,
        request_hash: &[u8; 32],
        token: Uuid,
        (lease, retention): (i64, i64),
    ) -> Statement {
        sqlx::query(self.claim.clone())
            .bind(principal)
            .bind(key)
            .bind(request_hash.as_slice())
            .bind(token)
            .bind(lease)
            .bind(retention)
    }

    /// To be fetched to its end, see [`claim`](Self::claim).
    pub(super) fn renew(&self, (principal, key): Names<'_>, token: Uuid, (lease, retention): (i64, i64)) -> Statement {
        sqlx::query(self.renew.clone()).bind(principal).bind(key).bind(token).bind(lease).bind(retention)
    }

    pub(super) fn finish(
        &self,
        (principal, key): Names<'_>,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Statement {
        sqlx::query(self.finish.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .bind(i64::from(status))
            .bind(headers)
            .bind(body)
    }

    /// To be followed by [`lapse`](Self::lapse) where it finds nothing.
    pub(super) fn release(&self, (principal, key): Names<'_>, token: Uuid) -> Statement {
        sqlx::query(self.release.clone()).bind(principal).bind(key).bind(token)
    }

    pub(super) fn of_token(&self, (principal, key): Names<'_>, token: Uuid) -> Statement {
        sqlx::query(self.of_token.clone()).bind(principal).bind(key).bind(token)
    }

    pub(super) fn lapse(&self, (principal, key): Names<'_>, token: Uuid) -> Statement {
        sqlx::query(self.lapse.clone()).bind(principal).bind(key).bind(token)
    }
}

/// A principal and its key.
pub(super) type Names<'a> = (&'a str, &'a str);

pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

fn live(table: &str) -> String {
    format!(
        "SELECT {REQUEST_HASH}, {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT}
        FROM {table} AS held
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND NOT {dead}",
        dead = dead("held", NOW, "?3"),
    )
}

/// A row that is taken over before it expired had a lease that counts, and with it an attempt that does.
fn claim(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {CREATED_AT}, {LEASE_EXPIRES_AT}, {EXPIRES_AT}, {ATTEMPT})
        VALUES (?1, ?2, ?3, ?4, {NOW}, {NOW} + ?5, {NOW} + ?6, 1)
        ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
            {REQUEST_HASH} = excluded.{REQUEST_HASH},
            {RESERVATION_ID} = excluded.{RESERVATION_ID},
            {RESPONSE_STATUS} = NULL,
            {RESPONSE_HEADERS} = NULL,
            {RESPONSE_BODY} = NULL,
            {CREATED_AT} = excluded.{CREATED_AT},
            {LEASE_EXPIRES_AT} = excluded.{LEASE_EXPIRES_AT},
            {EXPIRES_AT} = excluded.{EXPIRES_AT},
            {ATTEMPT} = CASE WHEN held.{EXPIRES_AT} <= {NOW} THEN 1
                ELSE MIN(COALESCE(held.{ATTEMPT}, 1), 2147483646) + 1 END
        WHERE {dead}
        RETURNING {ATTEMPT}",
        dead = dead("held", NOW, &format!("excluded.{REQUEST_HASH}")),
    )
}

/// The lease stays within the row's expiry and after its creation (also where the clock was set back), for the sake of
/// `dead`. Returns for how long it lasts from now, in milliseconds.
fn renew(table: &str) -> String {
    format!(
        "UPDATE {table} SET
            {EXPIRES_AT} = MAX({EXPIRES_AT}, {NOW} + ?5),
            {LEASE_EXPIRES_AT} = MIN(MAX({NOW} + ?4, {CREATED_AT} + 1), MAX({EXPIRES_AT}, {NOW} + ?5))
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL
        RETURNING {LEASE_EXPIRES_AT} - {NOW}"
    )
}

fn finish(table: &str) -> String {
    format!(
        "UPDATE {table} SET {RESPONSE_STATUS} = ?4, {RESPONSE_HEADERS} = ?5, {RESPONSE_BODY} = ?6
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL"
    )
}

/// Whether the row is one of this token's, in flight or finished.
fn of_token(table: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3")
}

fn release(table: &str) -> String {
    format!(
        "DELETE FROM {table}
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL
            AND COALESCE({ATTEMPT}, 1) <= 1"
    )
}

/// What becomes of a row that `release` leaves, as it was taken over from a reservation that went silent: its lease ends.
fn lapse(table: &str) -> String {
    format!(
        "UPDATE {table} SET {LEASE_EXPIRES_AT} = MIN(MAX({NOW}, {CREATED_AT} + 1), {EXPIRES_AT})
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL
            AND {ATTEMPT} > 1"
    )
}

/// Always one row: how often a reservation was attempted that is dead but has not expired, and what the time is.
fn attempted(table: &str) -> String {
    format!(
        "SELECT (
            SELECT COALESCE({ATTEMPT}, 1) FROM {table} AS held
            WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {EXPIRES_AT} > {NOW} AND {dead}
        ), {NOW}",
        dead = dead("held", NOW, "?3"),
    )
}

/// The finished row at once, of a transaction, kept from when it began. One that was dead then is replaced; whoever
/// reserved the key since is not, as its effect may have happened.
fn record(table: &str) -> String {
    format!(
        "INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT}, {ATTEMPT})
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?10, ?10 + ?8, ?9)
        ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
            {REQUEST_HASH} = excluded.{REQUEST_HASH},
            {RESERVATION_ID} = excluded.{RESERVATION_ID},
            {RESPONSE_STATUS} = excluded.{RESPONSE_STATUS},
            {RESPONSE_HEADERS} = excluded.{RESPONSE_HEADERS},
            {RESPONSE_BODY} = excluded.{RESPONSE_BODY},
            {CREATED_AT} = excluded.{CREATED_AT},
            {LEASE_EXPIRES_AT} = NULL,
            {EXPIRES_AT} = excluded.{EXPIRES_AT},
            {ATTEMPT} = excluded.{ATTEMPT}
        WHERE {dead}",
        dead = dead("held", "?10", &format!("excluded.{REQUEST_HASH}")),
    )
}
