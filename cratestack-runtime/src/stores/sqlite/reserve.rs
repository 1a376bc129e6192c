//! Reserving a key, or reading who has it.
//!
//! SQLite has one writer at a time, and a replay is to wait for none. So who has the key is read first, and the key
//! claimed afterwards:
//!
//! ```text
//! caller  │ looks: nobody has it ── waits for its turn ── claims: no row, somebody has been quicker ── looks again
//! another │                claims the key ──┘
//! ```

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, REQUEST_HASH, RESERVATION_ID,
    RESPONSE_BODY, RESPONSE_HEADERS, RESPONSE_STATUS,
};
use sqlx::{Row as _, SqlStr, SqliteConnection};
use uuid::Uuid;

use super::database::{Database, NOW};
use crate::store::{Claim, ClaimOutcome, RecordIdRef, StoreError};
use crate::stores::sql::{about, attempt, dead, inherited_steps, shared};
use crate::stores::time::Times;

/// A live row, in the order in which `Database::classify` reads its columns.
pub(super) fn live(table: &str) -> String {
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
                ELSE MIN(COALESCE(held.{ATTEMPT}, 1), 2147483646) + 1 END,
            {steps}
        WHERE {dead}
        RETURNING {ATTEMPT}",
        steps = inherited_steps(NOW),
        dead = dead("held", NOW, &format!("excluded.{REQUEST_HASH}")),
    )
}

#[derive(Debug)]
pub(super) struct Reserve {
    live: SqlStr,
    claim: SqlStr,
}

/// A claim whose times are in ticks, and the token of the reservation that may come of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReserveArgs {
    pub(super) token: Uuid,
    pub(super) request_hash: [u8; 32],
    pub(super) times: Times,
}

impl Reserve {
    pub(super) fn new(table: &str) -> Self {
        Self { live: shared(live(table)), claim: shared(claim(table)) }
    }

    /// Somebody's outcome or reservation that is live.
    pub(super) async fn live(
        &self,
        database: &Database,
        connection: &mut SqliteConnection,
        claim: &Claim<'_>,
    ) -> Result<Option<ClaimOutcome>, StoreError> {
        let live = about(&self.live, claim.id())
            .bind(claim.request_hash.as_slice())
            .fetch_optional(connection)
            .await
            .map_err(database.error())?;
        live.map(|row| database.classify(&row, claim)).transpose()
    }

    /// `None` where somebody else has been quicker.
    pub(super) async fn claim(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        args: ReserveArgs,
    ) -> Result<Option<ClaimOutcome>, sqlx::Error> {
        // Fetched to its end: SQLite commits a statement when it has been stepped to its end, and sqlx would drop it,
        // and an error in committing with it, once it has a row.
        let claimed = about(&self.claim, id)
            .bind(args.request_hash.as_slice())
            .bind(args.token)
            .bind(args.times.lease)
            .bind(args.times.retention)
            .fetch_all(connection)
            .await?;
        let Some(row) = claimed.first() else { return Ok(None) };
        Ok(Some(ClaimOutcome::Reserved { token: args.token, attempt: attempt(row.try_get(0)?) }))
    }
}
