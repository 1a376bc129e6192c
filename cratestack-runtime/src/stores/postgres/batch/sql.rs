use cratestack_schema::TableName;
use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use sqlx::SqlStr;

use crate::stores::postgres::sql::{CLOCK, after, lapse, live, released, renewed, takeover, took_over};
use crate::stores::postgres::watch::{class_of, notification};
use crate::stores::row::shared;

/// The statements of a store for many keys at once: each parameter is an array with an element per key, so that the
/// text is the same for every number of keys.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) reserve: SqlStr,
    pub(super) renew: SqlStr,
    pub(super) finish: SqlStr,
    pub(super) release: SqlStr,
}

impl Statements {
    pub(super) fn new(name: &TableName) -> Self {
        let table = &name.sql();
        let class = class_of(name.table());
        Self {
            reserve: shared(reserve(table)),
            renew: shared(renew(table)),
            finish: shared(finish(table, class)),
            release: shared(release(table, class)),
        }
    }
}

/// How long a batch waits for a row that another transaction has locked, before its callers go alone: none of them may
/// wait for another's row.
const PATIENCE: &str = "250ms";

/// The rows that are asked for, in order. The last parameter is how many there are.
///
/// A row per key must be found by the index, whatever the planner believes about the table: it believes that the
/// limit, which it cannot see, leaves a tenth of the ten rows that it expects of an unknown array, so one, and for one
/// row no plan beats the index. It would scan the table for more of them where it has no statistics of it, and keep to
/// that plan as the table grows.
///
/// The limit is computed before the first row is, and with it the patience is set, for this transaction alone and unless
/// the session has one of its own.
fn asked(columns: &[(&str, &str)]) -> String {
    let arrays: Vec<_> =
        columns.iter().enumerate().map(|(index, (_, kind))| format!("(SELECT ${}::{kind}[])", index + 1)).collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    format!(
        "SELECT * FROM UNNEST({arrays}) WITH ORDINALITY AS asked ({names}, n)
        LIMIT (
            SELECT ${count}::bigint
            WHERE CASE current_setting('lock_timeout') WHEN '0' THEN set_config('lock_timeout', '{PATIENCE}', true)
                ELSE '' END IS NOT NULL
        )",
        arrays = arrays.join(", "),
        names = names.join(", "),
        count = columns.len() + 1,
    )
}

/// As the statement for one key. A row is returned for each key but those of which another insert committed after this
/// statement's snapshot was taken: with its token and attempt where it was claimed, with its ordinal where it is live.
fn reserve(table: &str) -> String {
    format!(
        "WITH asked AS ({asked}), seen AS (
            SELECT asked.*, live.*
            FROM asked LEFT JOIN LATERAL (
                SELECT TRUE AS is_live, held.{REQUEST_HASH} AS live_hash, held.{RESPONSE_STATUS},
                       held.{RESPONSE_HEADERS}, held.{RESPONSE_BODY}, held.{CREATED_AT}, held.{EXPIRES_AT}
                FROM {table} AS held
                WHERE held.{PRINCIPAL_FINGERPRINT} = asked.principal AND held.{KEY} = asked.name AND {live}
                LIMIT 1
            ) AS live ON TRUE
        ), claimed AS (
            INSERT INTO {table} AS held ({PRINCIPAL_FINGERPRINT}, {KEY}, {REQUEST_HASH}, {RESERVATION_ID},
                {CREATED_AT}, {LEASE_EXPIRES_AT}, {EXPIRES_AT}, {ATTEMPT})
            SELECT principal, name, hash, token, now, {lease_end}, {expiry}, 1
            FROM (SELECT *, {CLOCK} AS now FROM seen WHERE is_live IS NULL) AS free
            {takeover}
            RETURNING held.{RESERVATION_ID}, held.{ATTEMPT}
        )
        SELECT {ATTEMPT}, NULL::bytea, NULL::int, NULL::bytea, NULL::bytea, NULL::timestamptz, NULL::timestamptz,
               {RESERVATION_ID}, NULL::bigint
        FROM claimed
        UNION ALL
        SELECT NULL::int, live_hash, {RESPONSE_STATUS}, {RESPONSE_HEADERS}, {RESPONSE_BODY}, {CREATED_AT}, {EXPIRES_AT},
               NULL::uuid, n
        FROM seen WHERE is_live",
        asked = asked(&[
            ("principal", "text"),
            ("name", "text"),
            ("hash", "bytea"),
            ("token", "uuid"),
            ("lease", "bigint"),
            ("retention", "bigint"),
        ]),
        live = live("held", "asked.hash"),
        takeover = takeover(),
        lease_end = after("now", "lease"),
        expiry = after("now", "retention"),
    )
}

/// Finds the row of a key that is in flight under its token.
fn running(row: &str) -> String {
    format!(
        "{row}.{PRINCIPAL_FINGERPRINT} = asked.principal AND {row}.{KEY} = asked.name
        AND {row}.{RESERVATION_ID} = asked.token AND {row}.{RESPONSE_STATUS} IS NULL"
    )
}

/// As the statement for one key: each row is locked before the clock is looked at for it.
fn renew(table: &str) -> String {
    let (times, lasts) = renewed("asked.now", "asked.lease", "asked.retention");
    format!(
        "UPDATE {table} AS held SET
            {times}
        FROM (
            SELECT locked.*, {CLOCK} AS now
            FROM (
                SELECT asked.* FROM ({asked}) AS asked JOIN {table} AS found ON {found}
                FOR NO KEY UPDATE OF found
            ) AS locked
        ) AS asked
        WHERE {held}
        RETURNING asked.n, {lasts}",
        asked = asked(&[
            ("principal", "text"),
            ("name", "text"),
            ("token", "uuid"),
            ("lease", "bigint"),
            ("retention", "bigint"),
        ]),
        found = running("found"),
        held = running("held"),
    )
}

/// A row for each reservation that `ended` has ended; who waits for one is notified.
fn notifying(class: i32, ended: &str) -> String {
    format!("{ended}\n        RETURNING asked.n, {}", notification(class, "asked.lock"))
}

fn finish(table: &str, class: i32) -> String {
    notifying(
        class,
        &format!(
            "UPDATE {table} AS held SET
            {RESPONSE_STATUS} = asked.status, {RESPONSE_HEADERS} = asked.headers, {RESPONSE_BODY} = asked.body
        FROM ({asked}) AS asked
        WHERE {held}",
            asked = asked(&[
                ("principal", "text"),
                ("name", "text"),
                ("token", "uuid"),
                ("status", "int"),
                ("headers", "bytea"),
                ("body", "bytea"),
                ("lock", "bigint"),
            ]),
            held = running("held"),
        ),
    )
}

fn release(table: &str, class: i32) -> String {
    let asked = asked(&[("principal", "text"), ("name", "text"), ("token", "uuid"), ("lock", "bigint")]);
    let held = running("held");
    let (lapse, took_over) = (lapse(), took_over());
    let lapse = format!("UPDATE {table} AS held SET {lapse} FROM ({asked}) AS asked WHERE {held} AND {took_over}");
    let delete = format!("DELETE FROM {table} AS held USING ({asked}) AS asked WHERE {held} AND NOT {took_over}");
    released(&notifying(class, &lapse), &notifying(class, &delete))
}
