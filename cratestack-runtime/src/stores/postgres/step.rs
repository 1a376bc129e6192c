//! Recording the steps of a run, and reading them.
//!
//! The row of the run is what a step is appended to. So the statement locks it, and looks at its token once more where
//! it had to wait for the lock:
//!
//! ```text
//! run             its lease is over      records a step: waits ─── another token: nothing is written, the run has lost
//! another run     takes the row over ─────── commits ───┘          (its steps are what the first one had recorded)
//! ```

use cratestack_schema::columns::{KEY, PRINCIPAL_FINGERPRINT, RESERVATION_ID, RESPONSE_STATUS, STEPS};
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use super::database::{Database, about_each, count_of};
use super::sql::{asked, in_flight};
use crate::store::{RecordIdRef, RecordedStep, StoreError, decode_steps};
use crate::stores::batch::{Call, Operation, Pending, split_repeats};
use crate::stores::sql::{OwnedStep, StepArgs, about, appended_step, has_steps, shared};

fn running() -> String {
    format!(
        "held.{PRINCIPAL_FINGERPRINT} = $1 AND held.{KEY} = $2 AND held.{RESERVATION_ID} = $3
        AND held.{RESPONSE_STATUS} IS NULL"
    )
}

/// The statement for one key, whose parameters are followed by those of a further condition.
pub(super) fn one(table: &str) -> String {
    format!(
        "UPDATE {table} AS held SET {appended} WHERE {running}",
        appended = appended_step("held", "$4::bytea", "BYTEA"),
        running = running(),
    )
}

fn many(table: &str) -> String {
    format!(
        "UPDATE {table} AS held SET {appended} FROM ({asked}) AS asked WHERE {held} RETURNING asked.n",
        appended = appended_step("held", "asked.entry", "BYTEA"),
        asked = asked(&[("principal", "text"), ("name", "text"), ("token", "uuid"), ("entry", "bytea")]),
        held = in_flight("held"),
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
    database: Database,
    one: SqlStr,
    many: SqlStr,
    recorded: SqlStr,
}

impl Call<Step> for StepArgs<'_> {
    fn bytes(self) -> usize {
        self.entry.len()
    }

    async fn run_one(self, id: RecordIdRef<'_>, Step { database, one, .. }: &Step) -> Result<bool, StoreError> {
        let record = about(one, id).bind(self.token).bind(self.entry);
        Ok(database.fetch_with_priority(record).await?.is_some())
    }
}

impl Operation for Step {
    type Args = OwnedStep;
    type Answer = bool;

    const MAX_BATCH: usize = 64;

    fn max_slots(&self) -> usize {
        self.database.max_slots()
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let (batch, repeats) = split_repeats(batch);
        let statement = about_each(&self.many, batch.iter().map(|call| call.id.as_ref()))
            .bind(batch.iter().map(|call| call.args.token).collect::<Vec<_>>())
            .bind(batch.iter().map(|call| &*call.args.entry).collect::<Vec<_>>())
            .bind(count_of(&batch));
        let rows = self.database.run_many_with_priority(statement).await;
        self.database.answer_by_ordinal(batch, rows, false, |_| Ok(true));
        repeats.into_iter().for_each(Pending::let_run_one);
    }
}

impl Step {
    pub(super) fn new(database: Database) -> Self {
        let table = &database.table.sql();
        Self {
            one: shared(one(table) + " RETURNING 1"),
            many: shared(many(table)),
            recorded: shared(recorded(table)),
            database,
        }
    }

    pub(super) async fn recorded(&self, id: RecordIdRef<'_>, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let row = self.database.fetch_with_priority(about(&self.recorded, id).bind(token)).await?;
        let Some(row) = row else { return Ok(Vec::new()) };
        decode_steps(row.try_get(0).map_err(self.database.error())?)
    }
}
