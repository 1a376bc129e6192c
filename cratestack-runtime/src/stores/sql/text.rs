//! SQL that all dialects speak.

use std::sync::Arc;

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS, STEPS, STEPS_TOKEN,
};
pub(crate) use cratestack_schema::has_steps;
use cratestack_schema::lease_end;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Encode, SqlSafeStr as _, SqlStr, Type};

use crate::store::RecordIdRef;

/// The condition under which a request whose hash is `request` may take a row over, in SQL: the row has
/// expired, or it is a reservation of that very request whose lease is over.
///
/// The effect of a reservation whose lease is over may have happened. Until the row expires only its own request, which
/// wants that effect, may run again.
pub(crate) fn dead(row: &str, now: &str, request: &str) -> String {
    format!(
        "({row}.{EXPIRES_AT} <= {now} OR ({row}.{RESPONSE_STATUS} IS NULL AND {row}.{REQUEST_HASH} = {request} AND \
         {lease_end} <= {now}))",
        lease_end = lease_end(row),
    )
}

/// What becomes of a row's steps where it is taken over: they go along to the same request, unless the row has expired.
///
/// Whether another request may have the row is judged by a clock that is read anew for each expression, and that may
/// be set back between two of them. So its steps go by its hash as well, which nothing sets back.
pub(crate) fn inherited_steps(now: &str) -> String {
    let inherits = format!(
        "held.{REQUEST_HASH} = EXCLUDED.{REQUEST_HASH} AND held.{EXPIRES_AT} > {now} AND {has_steps}",
        has_steps = has_steps("held")
    );
    format!(
        "{STEPS} = CASE WHEN {inherits} THEN held.{STEPS} END,
            {STEPS_TOKEN} = CASE WHEN {inherits} THEN EXCLUDED.{RESERVATION_ID} END"
    )
}

/// A step is appended to those of its run. Whose run had the row before is told by their token.
///
/// The cast is for SQLite, where two blobs concatenated are text, of the same bytes.
pub(crate) fn appended_step(row: &str, entry: &str, bytes: &str) -> String {
    format!(
        "{STEPS} = CASE WHEN {has_steps} THEN CAST({row}.{STEPS} || {entry} AS {bytes}) ELSE {entry} END,
            {STEPS_TOKEN} = {row}.{RESERVATION_ID}",
        has_steps = has_steps(row),
    )
}

/// The finished row of a transaction at once, of `values`, kept from `began` on, when the transaction did.
///
/// A row that was dead then is replaced; whoever reserved the key since is not, as its effect may have happened.
pub(crate) fn record(table: &str, values: &str, began: &str) -> String {
    format!(
        "INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT}, {ATTEMPT})
        {values}
        ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
            {REQUEST_HASH} = EXCLUDED.{REQUEST_HASH},
            {RESERVATION_ID} = EXCLUDED.{RESERVATION_ID},
            {RESPONSE_STATUS} = EXCLUDED.{RESPONSE_STATUS},
            {RESPONSE_HEADERS} = EXCLUDED.{RESPONSE_HEADERS},
            {RESPONSE_BODY} = EXCLUDED.{RESPONSE_BODY},
            {CREATED_AT} = EXCLUDED.{CREATED_AT},
            {LEASE_EXPIRES_AT} = NULL,
            {EXPIRES_AT} = EXCLUDED.{EXPIRES_AT},
            {ATTEMPT} = EXCLUDED.{ATTEMPT},
            {STEPS} = NULL,
            {STEPS_TOKEN} = NULL
        WHERE {dead}",
        dead = dead("held", began, &format!("EXCLUDED.{REQUEST_HASH}")),
    )
}

/// A statement about one key, whose principal and key are its first two parameters.
pub(crate) fn about<'q, DB: Database>(statement: &SqlStr, id: RecordIdRef<'_>) -> Query<'q, DB, DB::Arguments>
where
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
{
    sqlx::query(statement.clone()).bind(id.principal).bind(id.key)
}

/// A statement's text in a form that costs nothing to hand out again: `SqlStr` is cheap to clone only behind an `Arc`.
pub(crate) fn shared(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}
