//! Giving a key back.

use cratestack_schema::columns::{
    ATTEMPT, CREATED_AT, EXPIRES_AT, KEY, LEASE_EXPIRES_AT, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS,
};
use sqlx::{SqlStr, SqliteConnection};
use uuid::Uuid;

use super::database::NOW;
use super::finish::Finish;
use crate::store::RecordIdRef;
use crate::stores::sql::{about, has_steps, shared};

fn release(table: &str) -> String {
    format!(
        "DELETE FROM {table} AS held
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL
            AND COALESCE({ATTEMPT}, 1) <= 1 AND NOT {has_steps}",
        has_steps = has_steps("held"),
    )
}

/// What becomes of a row that `release` leaves, as it was taken over from a reservation that went silent: its lease
/// ends.
fn lapse(table: &str) -> String {
    format!(
        "UPDATE {table} AS held SET {LEASE_EXPIRES_AT} = MIN(MAX({NOW}, {CREATED_AT} + 1), {EXPIRES_AT})
        WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {RESERVATION_ID} = ?3 AND {RESPONSE_STATUS} IS NULL
            AND ({ATTEMPT} > 1 OR {has_steps})",
        has_steps = has_steps("held"),
    )
}

#[derive(Debug)]
pub(super) struct Release {
    release: SqlStr,
    lapse: SqlStr,
}

impl Release {
    pub(super) fn new(table: &str) -> Self {
        Self { release: shared(release(table)), lapse: shared(lapse(table)) }
    }

    pub(super) async fn release(
        &self,
        connection: &mut SqliteConnection,
        finish: &Finish,
        id: RecordIdRef<'_>,
        token: Uuid,
    ) -> Result<(), sqlx::Error> {
        let statement = |text| about(text, id).bind(token);
        let released = statement(&self.release).execute(&mut *connection).await?;
        // Where nothing was released, the row is mostly gone, and to look costs no commit.
        if released.rows_affected() == 0 && finish.is_of_token(connection, id, token).await? {
            statement(&self.lapse).execute(connection).await?;
        }
        Ok(())
    }
}
