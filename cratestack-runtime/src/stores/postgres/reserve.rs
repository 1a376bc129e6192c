//! Reserving a key, or reading who has it.
//!
//! A statement sees the rows that were committed when it began, its snapshot. It learns of a later one only where it
//! inserts and the key is taken:
//!
//! ```text
//! statement │ snapshot ─────── no row: inserts ── a row is there after all: is it dead? ──┬─ takes it over: claimed
//! another   │           inserts the key, commits ─────────────────┘                       └─ no row: asks again
//! ```
//!
//! The takeover locks the row and looks at its latest version, so of any number of statements one claims the key. A
//! statement that returns no row for a key was overtaken by somebody else's reservation, which the next one sees.
//!
//! Of several calls of one batch for one key, the first is in the statement, and the others are answered from what
//! became of it, as if they had come just after it.
//!
//! What a row that is live means is not judged here: a statement returns its columns from the second one on, in the
//! order in which `Database::classify` reads them by their places, and `Row::classify` (`sql/row.rs`) says what they
//! mean to whoever asked.

use std::collections::HashMap;

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use super::database::{Database, about_each, count_of, ordinal};
use super::release::Release;
use super::sql::{CLOCK, after, asked};
use crate::store::{ClaimOutcome, RecordId, RecordIdRef, StoreError};
use crate::stores::batch::{BatchQueue, Call, Grant, Operation, Pending, ReleaseIn};
use crate::stores::sql::{BatchError, Cause, about, attempt, dead, inherited_steps, shared};
use crate::stores::time::Times;

/// How often a key is asked for before the answer is that another request is running, which is then all but certain:
/// each statement that found nothing was overtaken by somebody else's reservation.
const MAX_ATTEMPTS: u32 = 5;

/// The condition under which a request with this hash may not take a row over.
///
/// Not `NOT`, which the planner would take apart: where it believes that all has expired, it would look for a key among
/// all rows that expire later than now, which are few only until traffic comes.
fn live(row: &str, request: &str) -> String {
    format!("{dead} IS NOT TRUE", dead = dead(row, CLOCK, request))
}

/// Claims the key or reads who has it, in one round trip.
///
/// Where a live row is there, `claimed` inserts nothing: no lock, no transaction id, no dead tuple. Neither part
/// returns a row when another insert committed after this statement's snapshot was taken; then the caller asks again.
fn one(table: &str) -> String {
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

/// As the statement for one key. A key that was claimed has a row with its token and attempt. One whose row is live has
/// that row, with the key's ordinal. One that another insert took after this statement's snapshot has none.
fn many(table: &str) -> String {
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

/// What becomes of a claim whose key has a row: one that was dead, or that the snapshot did not show.
///
/// The claim's times (`EXCLUDED`) were computed before it waited for whoever had the row locked. So each of them is
/// shifted by the time that it waited. Each shift looks at the clock anew, and a lease that is shifted by more than the
/// row's end could outlast the row. Therefore a lease ends no later than the row's end before the shift; and one that
/// was to end with the row is `NULL`, which means just that.
///
/// Where a row is taken over before it expired, its lease counted, and so does its attempt.
fn takeover() -> String {
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
                    ELSE LEAST(COALESCE(held.{ATTEMPT}, 1), 2147483646) + 1 END,
                {steps}
            WHERE {dead}",
        steps = inherited_steps(CLOCK),
        dead = dead("held", CLOCK, &format!("EXCLUDED.{REQUEST_HASH}")),
    )
}

/// The columns of the statement for many that tell whom a row is for: one that was claimed, one that is live.
const TOKEN: usize = 7;
const ORDINAL: usize = 8;

#[derive(Debug)]
pub(super) struct Reserve {
    database: Database,
    one: SqlStr,
    many: SqlStr,
    /// Where a reservation goes that nobody takes.
    releases: BatchQueue<Release>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ReserveArgs {
    pub(super) request_hash: [u8; 32],
    pub(super) times: Times,
}

impl Call<Reserve> for ReserveArgs {
    async fn run_one(
        self,
        id: RecordIdRef<'_>,
        Reserve { database, one, .. }: &Reserve,
    ) -> Result<Grant<ReleaseIn<Release>>, StoreError> {
        let token = Uuid::new_v4();
        let mut attempts = 1;
        loop {
            let found = about(one, id)
                .bind(self.request_hash.as_slice())
                .bind(token)
                .bind(self.times.lease)
                .bind(self.times.retention)
                .fetch_optional(&database.pool)
                .await;
            match found {
                Ok(Some(row)) => {
                    let outcome = match claimed(&row).map_err(database.error())? {
                        Some(attempt) => ClaimOutcome::Reserved { token, attempt },
                        None => database.classify(&row, id, self.request_hash)?,
                    };
                    return Ok(Grant::taken(outcome));
                }
                Ok(None) if attempts == MAX_ATTEMPTS => return Ok(Grant::taken(ClaimOutcome::InFlight)),
                // Where the default isolation is stricter than READ COMMITTED, a row that a concurrent insert hid is
                // an error instead of no row.
                Err(error) if attempts == MAX_ATTEMPTS || Cause::of_sqlx(&error) != Some(Cause::Contention) => {
                    return Err(database.error()(error));
                }
                Ok(None) | Err(_) => attempts += 1,
            }
        }
    }
}

impl Operation for Reserve {
    type Args = ReserveArgs;
    type Answer = Grant<ReleaseIn<Release>>;

    const MAX_BATCH: usize = 256;

    fn max_slots(&self) -> usize {
        self.database.max_slots()
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let mut groups = by_id(batch);
        for _ in 0..MAX_ATTEMPTS {
            match self.ask(&groups).await {
                Ok(rows) => groups = self.answer(groups, &rows),
                Err(error) => {
                    if matches!(error, BatchError::Unknown(_)) {
                        self.give_back(&groups);
                    }
                    for group in groups {
                        error.answer_all(group.calls);
                    }
                    return;
                }
            }
            if groups.is_empty() {
                return;
            }
        }
        for call in groups.into_iter().flat_map(|group| group.calls) {
            call.answer(Ok(Grant::taken(ClaimOutcome::InFlight)));
        }
    }
}

/// All who ask for one key, in the order in which they came, and the token that the key is claimed with.
struct Group {
    token: Uuid,
    calls: Vec<Pending<Reserve>>,
}

impl Group {
    fn id(&self) -> &RecordId {
        // A group is made with its first call.
        &self.calls[0].id
    }

    /// What the first call asks for, which is what the statement does.
    fn args(&self) -> ReserveArgs {
        self.calls[0].args
    }
}

fn by_id(batch: Vec<Pending<Reserve>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(batch.len());
    for call in batch {
        match groups.last_mut() {
            Some(group) if *group.id() == call.id => group.calls.push(call),
            _ => groups.push(Group { token: Uuid::new_v4(), calls: vec![call] }),
        }
    }
    groups
}

/// Which attempt a key was claimed for, where it was.
fn claimed(row: &PgRow) -> Result<Option<u32>, sqlx::Error> {
    let count: Option<i32> = row.try_get(0)?;
    Ok(count.map(|count| attempt(Some(i64::from(count)))))
}

impl Reserve {
    pub(super) fn new(database: Database, releases: BatchQueue<Release>) -> Self {
        let table = &database.table.sql();
        Self { one: shared(one(table)), many: shared(many(table)), database, releases }
    }

    async fn ask(&self, groups: &[Group]) -> Result<Vec<PgRow>, BatchError> {
        let statement = about_each(&self.many, groups.iter().map(|group| group.id().as_ref()))
            .bind(groups.iter().map(|group| group.calls[0].args.request_hash.as_slice()).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.token).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.args().times.lease).collect::<Vec<_>>())
            .bind(groups.iter().map(|group| group.args().times.retention).collect::<Vec<_>>())
            .bind(count_of(groups))
            .fetch_all(&self.database.pool);
        self.database.run_many(statement).await
    }

    /// Answers the groups that have a row, and returns those that have none and must ask again.
    fn answer(&self, groups: Vec<Group>, rows: &[PgRow]) -> Vec<Group> {
        let by_token: HashMap<Uuid, usize> =
            groups.iter().enumerate().map(|(index, group)| (group.token, index)).collect();
        let mut groups: Vec<_> = groups.into_iter().map(Some).collect();
        for row in rows {
            let index = match row.try_get::<Option<Uuid>, _>(TOKEN) {
                Ok(Some(token)) => Ok(by_token.get(&token).copied().unwrap_or(usize::MAX)),
                Ok(None) => ordinal(row, ORDINAL),
                Err(error) => Err(error),
            };
            // A row that cannot be told apart answers nobody; its caller asks again.
            let Some(group) = index.ok().and_then(|index| groups.get_mut(index)?.take()) else { continue };
            match claimed(row) {
                Ok(Some(attempt)) => self.answer_claimed(group, attempt),
                Ok(None) => self.answer_live(group, row),
                Err(error) => self.database.unknown()(error).answer_all(group.calls),
            }
        }
        groups.into_iter().flatten().collect()
    }

    /// The first of those who asked has the key.
    fn answer_claimed(&self, group: Group, attempt: u32) {
        let Group { token, calls } = group;
        let mut calls = calls.into_iter();
        let Some(first) = calls.next() else { return };
        for next in calls {
            if first.args.times.retention == 0 {
                // It has expired already, so whoever comes next takes it over.
                next.let_run_one();
            } else {
                let is_same = first.args.request_hash == next.args.request_hash;
                next.answer(Ok(Grant::taken(if is_same { ClaimOutcome::InFlight } else { ClaimOutcome::Conflict })));
            }
        }
        let mut grant = Grant::taken(ClaimOutcome::Reserved { token, attempt });
        grant.give_back_by(ReleaseIn { queue: self.releases.clone(), id: first.id.clone(), args: token });
        first.answer(Ok(grant));
    }

    /// Another reservation has the key, or had it.
    ///
    /// The statement has judged its lease for the first of those who asked. To another request than the reservation's
    /// own it is all the same; the reservation's own may have to take it over.
    fn answer_live(&self, group: Group, row: &PgRow) {
        let judged = group.args().request_hash;
        for call in group.calls {
            let outcome = self.database.classify(row, call.id.as_ref(), call.args.request_hash);
            if outcome == Ok(ClaimOutcome::InFlight) && call.args.request_hash != judged {
                call.let_run_one();
            } else {
                call.answer(outcome.map(Grant::taken));
            }
        }
    }

    /// Nobody was told of these tokens, so whatever was reserved with them may go, sooner than its lease lets it.
    fn give_back(&self, groups: &[Group]) {
        for group in groups {
            self.releases.post(group.id().clone(), group.token);
        }
    }
}
