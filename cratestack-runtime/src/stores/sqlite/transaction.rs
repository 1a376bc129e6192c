//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! SQLite has one writer at a time, so a transaction that has begun to write has every key.

use std::sync::Arc;

use cratestack_schema::columns::{ATTEMPT, EXPIRES_AT, KEY, PRINCIPAL_FINGERPRINT};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, Sqlite};
use uuid::Uuid;

use super::database::{Database, NOW, TICK};
use super::reserve::live;
use super::write::Statements;
use crate::store::{Begun, Claim, CommitError, Ending, StepRecord, StoreError, encode_step};
use crate::stores::sql::{
    Cause, OpenTransaction, SAVEPOINT, StepArgs, about, attempt, dead, held, never_ended, record, shared,
};
use crate::stores::status::recordable;

/// Always one row: the six columns of a row that is live, NULL where none is; how often a reservation was attempted
/// that is dead but has not expired; and what the time is.
fn look(table: &str) -> String {
    format!(
        "SELECT live.*, (
            SELECT COALESCE({ATTEMPT}, 1) FROM {table} AS held
            WHERE {PRINCIPAL_FINGERPRINT} = ?1 AND {KEY} = ?2 AND {EXPIRES_AT} > {NOW} AND {dead}
        ), {NOW}
        FROM (SELECT 1) LEFT JOIN ({live}) AS live ON TRUE",
        dead = dead("held", NOW, "?3"),
        live = live(table),
    )
}

/// The columns of the look behind those of a live row.
const DEAD_ATTEMPTS: usize = 6;
const TIME: usize = 7;

#[derive(Debug)]
pub(super) struct Transactions {
    database: Database,
    statements: Arc<Statements>,
    /// Each statement is a trip to the connection's thread and back, while nobody else may write: so as few as can be.
    begin: SqlStr,
    look: SqlStr,
    record: SqlStr,
}

impl Transactions {
    pub(super) fn new(database: Database, statements: Arc<Statements>) -> Self {
        let table = &database.table.sql();
        let values = "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?10, ?10 + ?8, ?9)";
        Self {
            begin: shared(format!("BEGIN IMMEDIATE; SAVEPOINT {SAVEPOINT}")),
            look: shared(look(table)),
            record: shared(record(table, values, "?10")),
            database,
            statements,
        }
    }

    pub(super) async fn begin(&self, claim: Option<Claim<'_>>) -> Result<Begun<OpenTransaction<Sqlite>>, StoreError> {
        let Some(claim) = claim else {
            let transaction = self.open().await?;
            return Ok(Begun::Reserved { transaction, token: Uuid::nil(), attempt: 0 });
        };
        let (database, reserve) = (&self.database, &self.statements.reserve);
        // A replay needs no turn.
        let mut connection = database.acquire().await?;
        if let Some(outcome) = reserve.live(database, &mut connection, &claim).await? {
            return Ok(held(outcome));
        }
        drop(connection);
        let mut open = self.open().await?;
        let row = about(&self.look, claim.id())
            .bind(claim.request_hash.as_slice())
            .fetch_one(open.connection_mut())
            .await
            .map_err(database.error())?;
        if row.try_get::<Option<&[u8]>, _>(0).map_err(database.error())?.is_some() {
            return Ok(held(database.classify(&row, &claim)?));
        }
        open.began = row.try_get(TIME).map_err(database.error())?;
        let dead: Option<i64> = row.try_get(DEAD_ATTEMPTS).map_err(database.error())?;
        let attempt = dead.map_or(1, |count| attempt(Some(count)).saturating_add(1));
        Ok(Begun::Reserved { transaction: open, token: Uuid::new_v4(), attempt })
    }

    async fn open(&self) -> Result<OpenTransaction<Sqlite>, StoreError> {
        let turn = self.database.turn.take().await;
        let connection = self.database.acquire().await?;
        OpenTransaction::begin(connection, self.begin.clone(), Some(turn)).await.map_err(self.database.error())
    }

    pub(super) async fn commit(
        &self,
        mut open: OpenTransaction<Sqlite>,
        ending: Option<Ending<'_>>,
    ) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        if let Err(error) = self.record_in(&mut open, ending).await {
            undo(open, &error).await;
            return Err(error);
        }
        self.end(open).await
    }

    async fn commit_unclaimed(&self, mut open: OpenTransaction<Sqlite>) -> Result<(), CommitError> {
        // It is gone where the handler has ended the transaction by itself; the depth is known afterwards.
        if on_savepoint(&mut open, "RELEASE").await.is_ok() && !open.is_outermost() {
            rollback(open).await;
            return Err(CommitError::Refused(never_ended()));
        }
        self.end(open).await
    }

    pub(super) async fn commit_step(
        &self,
        mut open: OpenTransaction<Sqlite>,
        step: StepRecord<'_>,
    ) -> Result<(), CommitError> {
        if let Err(error) = self.record_step_in(&mut open, step).await {
            undo(open, &error).await;
            return Err(error);
        }
        self.end(open).await
    }

    async fn record_step_in(
        &self,
        open: &mut OpenTransaction<Sqlite>,
        step: StepRecord<'_>,
    ) -> Result<(), CommitError> {
        let entry = &encode_step(&step).map_err(CommitError::Refused)?;
        self.leave_savepoint(open).await?;
        let args = StepArgs { token: step.token, entry };
        let recorded = self.statements.step.record_leased(open.connection_mut(), step.id(), args).await;
        let is_recorded = recorded.map_err(|error| CommitError::Refused(self.database.error()(error)))?;
        if is_recorded { Ok(()) } else { Err(CommitError::Taken) }
    }

    /// The work has ended, and so have the transactions that it began within its own.
    async fn leave_savepoint(&self, open: &mut OpenTransaction<Sqlite>) -> Result<(), CommitError> {
        // It is gone where the handler has ended the transaction by itself.
        on_savepoint(open, "RELEASE").await.map_err(|_| CommitError::Ended)?;
        // Known once the statement before has been through the connection's queue.
        if open.is_outermost() { Ok(()) } else { Err(CommitError::Refused(never_ended())) }
    }

    async fn record_in(&self, open: &mut OpenTransaction<Sqlite>, ending: Ending<'_>) -> Result<(), CommitError> {
        let refused = |error| CommitError::Refused(self.database.error()(error));
        if !ending.keep_writes {
            on_savepoint(open, "ROLLBACK TO").await.map_err(|_| CommitError::Ended)?;
        }
        self.leave_savepoint(open).await?;
        let recorded = about(&self.record, ending.claim.id())
            .bind(ending.claim.request_hash.as_slice())
            .bind(ending.token)
            .bind(i64::from(ending.status))
            .bind(ending.headers)
            .bind(ending.body.as_ref())
            .bind(TICK.count(ending.claim.retention))
            .bind(i64::from(ending.attempt))
            .bind(open.began)
            .execute(open.connection_mut())
            .await
            .map_err(refused)?;
        if recorded.rows_affected() > 0 { Ok(()) } else { Err(CommitError::Taken) }
    }

    async fn end(&self, open: OpenTransaction<Sqlite>) -> Result<(), CommitError> {
        open.commit().await.map_err(|error| {
            let cause = Cause::of_sqlx(&error);
            let error = self.database.error()(error);
            match cause {
                Some(cause) if cause.is_unavailable() => CommitError::Transient(error),
                Some(_) => CommitError::Refused(error),
                None => CommitError::Unknown(error),
            }
        })
    }
}

async fn undo(mut open: OpenTransaction<Sqlite>, error: &CommitError) {
    if *error == CommitError::Ended {
        // sqlx knows nothing of that end, and will roll back: there must be something to.
        let _ = sqlx::raw_sql("BEGIN").execute(open.connection_mut()).await;
    }
    rollback(open).await;
}

pub(super) async fn rollback(mut open: OpenTransaction<Sqlite>) {
    if open.rollback().await.is_err() {
        open.close_on_drop();
    }
}

/// A statement about the savepoint.
async fn on_savepoint(open: &mut OpenTransaction<Sqlite>, verb: &str) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(format!("{verb} {SAVEPOINT}")).into_sql_str();
    sqlx::raw_sql(statement).execute(open.connection_mut()).await.map(drop)
}
