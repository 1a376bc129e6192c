//! Starting a lease anew. See the shared `renewal` for why the answer's way is measured.

use std::time::Instant;

use cratestack_schema::columns::{
    CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS,
};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use super::database::{Database, about_each, count_of};
use super::sql::{CLOCK, after, asked, in_flight};
use super::timestamptz::TICK;
use crate::store::{RecordIdRef, StoreError};
use crate::stores::batch::{Call, Operation, Pending, split_repeats};
use crate::stores::renewal::Renewal;
use crate::stores::sql::{about, shared};
use crate::stores::time::Times;

/// The row is locked before the clock is looked at: an update computes its row first, and then waits for whoever has it
/// locked.
fn one(table: &str) -> String {
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

/// As the statement for one key: each row is locked before the clock is looked at for it.
fn many(table: &str) -> String {
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
        found = in_flight("found"),
        held = in_flight("held"),
    )
}

/// The times of a renewal, which counts from `moment`, and what it returns: for how long the lease lasts from then on,
/// in microseconds, `NULL` for ever.
///
/// The lease stays within the row's expiry and after its creation (also where the clock was set back), for the sake of
/// `dead`.
fn renewed(moment: &str, lease: &str, retention: &str) -> (String, String) {
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

/// Reads for how long a lease lasts that was renewed by a statement that was sent at `sent`.
fn renewal(row: &PgRow, column: usize, sent: Instant) -> Result<Renewal, sqlx::Error> {
    let lasts: Option<i64> = row.try_get(column)?;
    Ok(lasts.map_or(Renewal::Held, |lasts| Renewal::of(TICK, lasts, sent.elapsed())))
}

#[derive(Debug)]
pub(super) struct Renew {
    database: Database,
    one: SqlStr,
    many: SqlStr,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct RenewArgs {
    pub(super) token: Uuid,
    pub(super) times: Times,
}

impl Call<Renew> for RenewArgs {
    async fn run_one(self, id: RecordIdRef<'_>, Renew { database, one, .. }: &Renew) -> Result<Renewal, StoreError> {
        // What it waits for a connection is no part of the answer's way.
        let mut priority = database.priority.acquire().await.map_err(database.error())?;
        let sent = Instant::now();
        let renewed = about(one, id)
            .bind(self.token)
            .bind(self.times.lease)
            .bind(self.times.retention)
            .fetch_optional(&mut *priority.connection)
            .await
            .map_err(database.error())?;
        renewed.map_or(Ok(Renewal::Lost), |row| renewal(&row, 0, sent)).map_err(database.error())
    }
}

impl Operation for Renew {
    type Args = RenewArgs;
    type Answer = Renewal;

    const MAX_BATCH: usize = 256;

    fn max_slots(&self) -> usize {
        self.database.max_slots()
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let (batch, repeats) = split_repeats(batch);
        match self.database.priority.acquire().await {
            Ok(mut priority) => {
                let sent = Instant::now();
                let statement = about_each(&self.many, batch.iter().map(|call| call.id.as_ref()))
                    .bind(batch.iter().map(|call| call.args.token).collect::<Vec<_>>())
                    .bind(batch.iter().map(|call| call.args.times.lease).collect::<Vec<_>>())
                    .bind(batch.iter().map(|call| call.args.times.retention).collect::<Vec<_>>())
                    .bind(count_of(&batch))
                    .fetch_all(&mut *priority.connection);
                let rows = self.database.run_many(statement).await;
                self.database.answer_by_ordinal(batch, rows, Renewal::Lost, |row| renewal(row, 1, sent));
            }
            Err(error) => self.database.unknown()(error).answer_all(batch),
        }
        repeats.into_iter().for_each(Pending::let_run_one);
    }
}

impl Renew {
    pub(super) fn new(database: Database) -> Self {
        let table = &database.table.sql();
        Self { one: shared(one(table)), many: shared(many(table)), database }
    }
}
