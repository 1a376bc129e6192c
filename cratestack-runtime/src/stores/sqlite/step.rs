//! Recording the steps of a run, and reading them.

use cratestack_schema::columns::{KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS, STEPS};
use cratestack_schema::lease_end;
use sqlx::{Row as _, SqlStr, SqliteConnection};
use uuid::Uuid;

use super::database::NOW;
use crate::store::{RecordIdRef, RecordedStep, StoreError, decode_steps};

use crate::stores::sql::{StepArgs, about, appended_step, has_steps, shared};

fn running() -> String {
    format!(
        "held.{PRINCIPAL_FINGERPRINT} = ?1 AND held.{KEY} = ?2 AND held.{RESERVATION_ID} = ?3
            AND held.{RESPONSE_STATUS} IS NULL"
    )
}

fn record(table: &str) -> String {
    format!(
        "UPDATE {table} AS held SET {appended} WHERE {running}",
        appended = appended_step("held", "?4", "BLOB"),
        running = running(),
    )
}

fn recorded(table: &str) -> String {
    format!(
        "SELECT {STEPS} FROM {table} AS held WHERE {running} AND {has_steps}",
        running = running(),
        has_steps = has_steps("held"),
    )
}

#[derive(Debug)]
pub(super) struct Step {
    record: SqlStr,
    record_leased: SqlStr,
    recorded: SqlStr,
}

impl Step {
    pub(super) fn new(table: &str) -> Self {
        let record = record(table);
        let record_leased = format!("{record} AND {} > {NOW}", lease_end("held"));
        Self { record: shared(record), record_leased: shared(record_leased), recorded: shared(recorded(table)) }
    }

    /// Whether the run still had its key.
    pub(super) async fn record(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        step: StepArgs<'_>,
    ) -> Result<bool, sqlx::Error> {
        execute(&self.record, connection, id, step).await
    }

    /// The same, in the transaction of what the step has written: only while its run's lease lasts.
    pub(super) async fn record_leased(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        step: StepArgs<'_>,
    ) -> Result<bool, sqlx::Error> {
        execute(&self.record_leased, connection, id, step).await
    }

    pub(super) async fn recorded(
        &self,
        connection: &mut SqliteConnection,
        id: RecordIdRef<'_>,
        token: Uuid,
        error: impl Fn(sqlx::Error) -> StoreError,
    ) -> Result<Vec<RecordedStep>, StoreError> {
        let row = about(&self.recorded, id).bind(token).fetch_optional(connection).await.map_err(&error)?;
        let Some(row) = row else { return Ok(Vec::new()) };
        decode_steps(row.try_get(0).map_err(error)?)
    }
}

async fn execute(
    record: &SqlStr,
    connection: &mut SqliteConnection,
    id: RecordIdRef<'_>,
    StepArgs { token, entry }: StepArgs<'_>,
) -> Result<bool, sqlx::Error> {
    let recorded = about(record, id).bind(token).bind(entry).execute(connection).await?;
    Ok(recorded.rows_affected() > 0)
}
