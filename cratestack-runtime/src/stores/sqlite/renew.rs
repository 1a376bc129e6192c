//! Starting a lease anew.

use cratestack_schema::columns::{
    CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS,
};
use sqlx::{Row as _, SqlStr, SqliteConnection};
use std::time::Instant;
use uuid::Uuid;

use super::database::{NOW, TICK};
use crate::store::RecordIdRef;
use crate::stores::renewal::Renewal;
use crate::stores::sql::{about, shared};
use crate::stores::time::Times;

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

#[derive(Debug)]
pub(super) struct Renew(SqlStr);

/// What a renewal has written, and when it was sent. Whether the lease holds is known once it is committed, which may
/// take longer than the lease lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    /// `None` where there was no reservation to renew.
    lasts: Option<i64>,
    sent: Instant,
}

impl Renewed {
    /// What it has come to, now that it is committed and its answer there.
    pub(super) fn answered(self) -> Renewal {
        self.lasts.map_or(Renewal::Lost, |lasts| Renewal::of(TICK, lasts, self.sent.elapsed()))
    }
}

impl Renew {
    pub(super) fn new(table: &str) -> Self {
        Self(shared(renew(table)))
    }

    pub(super) async fn renew(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        token: Uuid,
        times: Times,
    ) -> Result<Renewed, sqlx::Error> {
        let sent = Instant::now();
        // Fetched to its end, as a claim is.
        let renewed =
            about(&self.0, id).bind(token).bind(times.lease).bind(times.retention).fetch_all(connection).await?;
        Ok(Renewed { lasts: renewed.first().map(|row| row.try_get(0)).transpose()?, sent })
    }
}
