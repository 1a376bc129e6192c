//! SQL that all dialects speak.

use std::sync::Arc;

use cratestack_schema::columns::{CREATED_AT, EXPIRES_AT, LEASE_EXPIRES_AT, REQUEST_HASH, RESPONSE_STATUS};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// The condition under which a request whose hash is `request` may take a row over, in SQL: the row
/// has expired, or it is a reservation of that very request whose lease is over.
///
/// The effect of a reservation whose lease is over may have happened. Until the row expires only its own request, which
/// wants that effect, may run again.
///
/// A lease counts only if it ends after `created_at`. Other programs share this table that know no lease: they take
/// over an expired row by setting `created_at` to now and leave our lease column as it was. A lease of ours never
/// outlasts its row's `expires_at`, and they wait for that, so a lease that is left over from before such a takeover
/// ends no later than the new `created_at`: it is recognised, and the row's lease is its `expires_at`.
pub(crate) fn dead(row: &str, now: &str, request: &str) -> String {
    format!(
        "({row}.{EXPIRES_AT} <= {now} OR ({row}.{RESPONSE_STATUS} IS NULL AND {row}.{REQUEST_HASH} = {request} AND \
         CASE WHEN {row}.{LEASE_EXPIRES_AT} > {row}.{CREATED_AT} THEN {row}.{LEASE_EXPIRES_AT} \
         ELSE {row}.{EXPIRES_AT} END <= {now}))"
    )
}

/// A statement's text in a form that costs nothing to hand out again: `SqlStr` is cheap to clone only behind an `Arc`.
pub(crate) fn shared(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}
