use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use cratestack_schema::{Dialect, TableName};
use sqlx::SqlStr;

use super::transaction::CLAIM;
use super::watch::{class_of, notification};
use crate::stores::row::{dead, shared};

/// The statements, built once per store. Nothing but names goes into their text: the schema's columns,
/// and the table's, which cannot leave its quotes.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) name: TableName,
    pub(super) reserve: SqlStr,
    pub(super) renew: SqlStr,
    pub(super) finish: SqlStr,
    pub(super) finished: SqlStr,
    pub(super) release: SqlStr,
    pub(super) sweep: SqlStr,
    pub(super) look: SqlStr,
    pub(super) record: SqlStr,
    pub(super) is_ours: SqlStr,
    pub(super) is_claimed: SqlStr,
}

impl Statements {
    pub(super) fn new(name: TableName) -> Self {
        let table = &name.sql();
        let oid = &oid(&name);
        let class = class_of(name.table());
        Self {
            reserve: shared(reserve(table)),
            renew: shared(renew(table)),
            finish: shared(finish(table, class)),
            finished: shared(finished(table)),
            release: shared(release(table, class)),
            sweep: shared(name.sweep(Dialect::Postgres)),
            look: shared(look(table, oid)),
            record: shared(record(table, oid, class)),
            is_ours: shared(is_ours(oid)),
            is_claimed: shared(is_claimed(oid)),
            name,
        }
    }
}

/// The moment at which a row is judged and written. `NOW()` is that at which the transaction began: before the statement
/// waited for a lock on the table, or on a row.
///
/// It is another one each time that it is evaluated, so what has to agree comes from one evaluation: a sub-select with it
/// is not merged into the query around it.
pub(super) const CLOCK: &str = "clock_timestamp()";

/// `ticks`, an expression, after `moment`.
pub(super) fn after(moment: &str, ticks: &str) -> String {
    format!("{moment} + {ticks} * INTERVAL '1 microsecond'")
}

/// The condition under which a request with this hash may not take a row over.
///
/// Not `NOT`, which the planner would take apart: where it believes that all has expired, it would look for a key among all
/// rows that expire later than now, which are few only until traffic comes.
pub(super) fn live(row: &str, request: &str) -> String {
    format!("{dead} IS NOT TRUE", dead = dead(row, CLOCK, request))
}

/// Claims the key or reads who has it, in one round trip.
///
/// Where a live row is there, `claimed` inserts nothing: no lock, no transaction id, no dead tuple. Neither part
/// returns a row when another insert committed after this statement's snapshot was taken; then the caller asks again.
fn reserve(table: &str) -> String {
    format!(
        "WITH live AS (
            SELECT held.{REQUEST_HASH}, held.{RESPONSE_STATUS}, held.{RESPONSE_HEADERS}, held.{RESPONSE_BODY},
                   held.{CREATED_AT}, held.{EXPIRES_AT}
            FROM {table} AS held
            WHERE held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2 AND {live}
        ), claimed AS (
            INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
                {CREATED_AT}, {LEASE_EXPIRES_AT}, {EXPIRES_AT}, {ATTEMPT})
            SELECT $1::text, $2::text, $3::bytea, $4::uuid, moment.now, {lease_end}, {expiry}, 1
            FROM (SELECT {CLOCK} AS now) AS moment
            WHERE NOT EXISTS (SELECT 1 FROM live)
            {takeover}
            RETURNING held.{ATTEMPT}
        )
        SELECT {ATTEMPT}, NULL::bytea, NULL::int, NULL::bytea, NULL::bytea, NULL::timestamptz, NULL::timestamptz
        FROM claimed
        UNION ALL
        SELECT NULL::int, {REQUEST_HASH}, {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY},
               {CREATED_AT}, {EXPIRES_AT} FROM live",
        live = live("held", "$3::bytea"),
        takeover = takeover(),
        lease_end = after("moment.now", "$5::bigint"),
        expiry = after("moment.now", "$6::bigint"),
    )
}

/// What becomes of a claim whose key has a row that was dead or hidden to the snapshot.
///
/// The claim's own times are of before it waited for whoever had the row, so they are shifted by as long as it waited. That
/// takes several looks at the clock, and the lease must not outlast the row: it ends no later than the row would have
/// without the shift, and one that was to end with the row says nothing of its own.
///
/// A row that is taken over before it expired had a lease that counts, and with it an attempt that does.
pub(super) fn takeover() -> String {
    let waited = format!("GREATEST({CLOCK} - EXCLUDED.{CREATED_AT}, INTERVAL '0')");
    format!(
        "ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
                {REQUEST_HASH} = EXCLUDED.{REQUEST_HASH},
                {RESERVATION_ID} = EXCLUDED.{RESERVATION_ID},
                {RESPONSE_STATUS} = NULL,
                {RESPONSE_HEADERS} = NULL,
                {RESPONSE_BODY} = NULL,
                {CREATED_AT} = EXCLUDED.{CREATED_AT} + {waited},
                {LEASE_EXPIRES_AT} = CASE WHEN EXCLUDED.{LEASE_EXPIRES_AT} < EXCLUDED.{EXPIRES_AT}
                    THEN LEAST(EXCLUDED.{LEASE_EXPIRES_AT} + {waited}, EXCLUDED.{EXPIRES_AT}) END,
                {EXPIRES_AT} = EXCLUDED.{EXPIRES_AT} + {waited},
                {ATTEMPT} = CASE WHEN held.{EXPIRES_AT} <= {CLOCK} THEN 1
                    ELSE LEAST(COALESCE(held.{ATTEMPT}, 1), 2147483646) + 1 END
            WHERE {dead}",
        dead = dead("held", CLOCK, &format!("EXCLUDED.{REQUEST_HASH}")),
    )
}

/// The times of a renewal, which counts from `moment`, and what it returns: for how long the lease lasts from then on, in
/// microseconds, `NULL` for ever.
///
/// The lease stays within the row's expiry and after its creation (also where the clock was set back), for the sake of
/// `dead`.
pub(super) fn renewed(moment: &str, lease: &str, retention: &str) -> (String, String) {
    let kept = format!("GREATEST(held.{EXPIRES_AT}, {})", after(moment, retention));
    let times = format!(
        "{EXPIRES_AT} = {kept},
            {LEASE_EXPIRES_AT} = LEAST(
                GREATEST({lease_end}, held.{CREATED_AT} + INTERVAL '1 microsecond'),
                {kept}
            )",
        lease_end = after(moment, lease),
    );
    let lasts = format!(
        "CASE WHEN isfinite(held.{LEASE_EXPIRES_AT})
            THEN (EXTRACT(EPOCH FROM held.{LEASE_EXPIRES_AT} - {moment}) * 1000000)::bigint END"
    );
    (times, lasts)
}

/// The row is locked before the clock is looked at: an update computes its row first, and then waits for whoever has it
/// locked.
fn renew(table: &str) -> String {
    let (times, lasts) = renewed("moment.now", "$4::bigint", "$5::bigint");
    let held = |row: &str| {
        format!(
            "{row}.{PRINCIPAL_FINGERPRINT} = $1 AND {row}.{KEY} = $2 AND {row}.{RESERVATION_ID} = $3
            AND {row}.{RESPONSE_STATUS} IS NULL"
        )
    };
    format!(
        "UPDATE {table} AS held SET
            {times}
        FROM (
            SELECT {CLOCK} AS now
            FROM (SELECT 1 FROM {table} AS found WHERE {found} FOR NO KEY UPDATE) AS locked
        ) AS moment
        WHERE {held}
        RETURNING {lasts}",
        found = held("found"),
        held = held("held"),
    )
}

/// One row where `ended`, a statement that ends a reservation, did so; whoever waits for it is notified in the same
/// statement. See `watch` for the lock.
fn notifying(ended: &str, class: i32, lock: &str) -> String {
    format!("{ended}\n        RETURNING {}", notification(class, lock))
}

/// Touches no indexed column, so that the update stays within its page (HOT).
fn finish(table: &str, class: i32) -> String {
    let finish = format!(
        "UPDATE {table} SET {RESPONSE_STATUS} = $4, {RESPONSE_HEADERS} = $5, {RESPONSE_BODY} = $6
        WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3 AND {RESPONSE_STATUS} IS NULL"
    );
    notifying(&finish, class, "$7::bigint")
}

fn finished(table: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {PRINCIPAL_FINGERPRINT} = $1 AND {KEY} = $2 AND {RESERVATION_ID} = $3")
}

fn release(table: &str, class: i32) -> String {
    let held = format!(
        "held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2 AND held.{RESERVATION_ID} = $3
        AND held.{RESPONSE_STATUS} IS NULL"
    );
    let (lapse, took_over) = (lapse(), took_over());
    let lapse = format!("UPDATE {table} AS held SET {lapse} WHERE {held} AND {took_over}");
    let delete = format!("DELETE FROM {table} AS held WHERE {held} AND NOT {took_over}");
    released(&notifying(&lapse, class, "$4::bigint"), &notifying(&delete, class, "$4::bigint"))
}

/// Of the row `held`: whether it was taken over from a reservation that went silent.
pub(super) fn took_over() -> String {
    format!("(COALESCE(held.{ATTEMPT}, 1) > 1)")
}

/// Ends the lease of the row `held`, so that it counts as one that has ended.
pub(super) fn lapse() -> String {
    format!(
        "{LEASE_EXPIRES_AT} =
            LEAST(GREATEST({CLOCK}, held.{CREATED_AT} + INTERVAL '1 microsecond'), held.{EXPIRES_AT})"
    )
}

/// One statement that lets the leases of reservations lapse that took over, and deletes the others.
pub(super) fn released(lapse: &str, delete: &str) -> String {
    format!("WITH lapsed AS ({lapse}), deleted AS ({delete}) SELECT * FROM lapsed UNION ALL SELECT * FROM deleted")
}

/// Always one row: the key's where there is one, whether this transaction has got the key's lock, its session, the table
/// that was found by the name, whether the row is dead, and whether this server only follows another one.
///
/// What is dead is judged, here and by `record`, as of the transaction's beginning: whoever reserved the key since then is
/// not, however short its lease, as its effect may have happened.
///
/// A body that has expired stays with the server, as does an attempt that no longer counts.
fn look(table: &str, oid: &str) -> String {
    format!(
        "SELECT CASE WHEN held.{EXPIRES_AT} > NOW() THEN COALESCE(held.{ATTEMPT}, 1) END,
               held.{REQUEST_HASH}, held.{RESPONSE_STATUS}, held.{RESPONSE_HEADERS},
               CASE WHEN held.{EXPIRES_AT} > NOW() THEN held.{RESPONSE_BODY} END,
               held.{CREATED_AT}::timestamptz, held.{EXPIRES_AT}::timestamptz,
               {is_ours}, pg_backend_pid(), {oid}, {dead}, pg_is_in_recovery()
        FROM (SELECT 1) AS one
        LEFT JOIN {table} AS held ON held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2",
        dead = dead("held", "NOW()", "$4::bytea"),
        is_ours = ours("$3"),
    )
}

/// Which table the name means to this statement: a `search_path` that the handler sets is the transaction's.
fn oid(name: &TableName) -> String {
    format!("({}::regclass)::oid::bigint", name.regclass())
}

/// Whether the transaction is still the one that claimed the key.
fn ours(token: &str) -> String {
    format!("COALESCE(current_setting('{CLAIM}', true) = ({token}::uuid)::text, false)")
}

fn is_ours(oid: &str) -> String {
    format!("SELECT {}, {oid} = $2::bigint", ours("$1"))
}

/// What `look` says besides the row.
fn is_claimed(oid: &str) -> String {
    format!("SELECT {}, pg_backend_pid(), {oid}, pg_is_in_recovery()", ours("$1"))
}

/// The finished row at once, kept from the transaction's beginning on. A dead one is replaced; a live one that came in the
/// meantime is left alone, and so is everything where the transaction has ended or the name means another table.
fn record(table: &str, oid: &str, class: i32) -> String {
    let record = format!(
        "INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
            {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT}, {ATTEMPT})
        SELECT $1::text, $2::text, $3::bytea, $4::uuid, $5::int, $6::bytea, $7::bytea, NOW(), {expiry}, $9::int
        WHERE {ours} AND {oid} = $11::bigint
        ON CONFLICT ({PRINCIPAL_FINGERPRINT}, {KEY}) DO UPDATE SET
            {REQUEST_HASH} = EXCLUDED.{REQUEST_HASH},
            {RESERVATION_ID} = EXCLUDED.{RESERVATION_ID},
            {RESPONSE_STATUS} = EXCLUDED.{RESPONSE_STATUS},
            {RESPONSE_HEADERS} = EXCLUDED.{RESPONSE_HEADERS},
            {RESPONSE_BODY} = EXCLUDED.{RESPONSE_BODY},
            {CREATED_AT} = EXCLUDED.{CREATED_AT},
            {LEASE_EXPIRES_AT} = NULL,
            {EXPIRES_AT} = EXCLUDED.{EXPIRES_AT},
            {ATTEMPT} = EXCLUDED.{ATTEMPT}
        WHERE {dead}",
        expiry = after("NOW()", "$8::bigint"),
        ours = ours("$4"),
        dead = dead("held", "NOW()", &format!("EXCLUDED.{REQUEST_HASH}")),
    );
    notifying(&record, class, "$10::bigint")
}
