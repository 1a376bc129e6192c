//! Committing a transaction, in one commit with the record of its outcome.

use cratestack_schema::lease_end;
use sqlx::{AssertSqlSafe, Postgres, SqlStr};
use tokio::time::error::Elapsed;

use super::prepared::{COMMIT_TIMEOUT, late, what_became_of};
use super::rollback::rollback;
use super::text::{CLAIM, TABLE, oid, ours};
use crate::store::{CommitError, Ending, StepRecord, StoreError, encode_step};
use crate::stores::postgres::database::{Database, refuse_nul};
use crate::stores::postgres::lock::class_of;
use crate::stores::postgres::sql::{CLOCK, after, notifying};
use crate::stores::postgres::step;
use crate::stores::postgres::timestamptz::TICK;
use crate::stores::sql::{Cause, OpenTransaction, SAVEPOINT, SessionId, about, never_ended, record, shared};
use crate::stores::status::recordable;

fn is_ours(oid: &str) -> String {
    format!("SELECT {}, {oid} = $2::bigint", ours("$1"))
}

/// Nothing is written where the transaction has ended or the name means another table.
fn recorded(table: &str, oid: &str, class: i32) -> String {
    let values = format!(
        "SELECT $1::text, $2::text, $3::bytea, $4::uuid, $5::int, $6::bytea, $7::bytea, NOW(), {expiry}, $9::int
        WHERE {ours} AND {oid} = $11::bigint",
        expiry = after("NOW()", "$8::bigint"),
        ours = ours("$4"),
    );
    notifying(&record(table, &values, "NOW()"), class, "$10::bigint")
}

/// Whether the transaction is still the one that began, and finds the same table by the name.
fn in_same(oid: &str) -> (String, String) {
    (ours("$5"), format!("COALESCE({oid}::text = current_setting('{TABLE}', true), false)"))
}

/// Nothing is written either where the row's lease is over. It is looked at once the row is had: where the statement
/// waits for whoever has the row, all conditions are evaluated anew.
fn stepped(table: &str, oid: &str) -> String {
    let (ours, same_table) = in_same(oid);
    format!(
        "{step} AND {lease_end} > {CLOCK} AND {ours} AND {same_table}",
        step = step::one(table),
        lease_end = lease_end("held"),
    )
}

fn is_ours_unclaimed(oid: &str) -> String {
    format!("SELECT {}, {}", ours("$1"), in_same(oid).1)
}

#[derive(Debug)]
pub(in crate::stores::postgres) struct Commit {
    database: Database,
    record: SqlStr,
    is_ours: SqlStr,
    step: SqlStr,
    is_ours_unclaimed: SqlStr,
}

impl Commit {
    pub(in crate::stores::postgres) fn new(database: Database) -> Self {
        let (table, oid, class) = (&database.table.sql(), &oid(&database.table), class_of(database.table.table()));
        Self {
            record: shared(recorded(table, oid, class)),
            is_ours: shared(is_ours(oid)),
            step: shared(stepped(table, oid)),
            is_ours_unclaimed: shared(is_ours_unclaimed(oid)),
            database,
        }
    }

    pub(in crate::stores::postgres) async fn run(
        &self,
        mut open: OpenTransaction<Postgres>,
        ending: Option<Ending<'_>>,
    ) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        let recorded = tokio::time::timeout(COMMIT_TIMEOUT, self.record_in(&mut open, ending)).await;
        self.end_recorded(open, recorded).await
    }

    /// In one commit with the record of a step.
    pub(in crate::stores::postgres) async fn run_with_step(
        &self,
        mut open: OpenTransaction<Postgres>,
        step: StepRecord<'_>,
    ) -> Result<(), CommitError> {
        let recorded = tokio::time::timeout(COMMIT_TIMEOUT, self.record_step_in(&mut open, step)).await;
        self.end_recorded(open, recorded).await
    }

    /// Commits what was recorded.
    async fn end_recorded(
        &self,
        mut open: OpenTransaction<Postgres>,
        recorded: Result<Result<(), CommitError>, Elapsed>,
    ) -> Result<(), CommitError> {
        let error = match recorded.unwrap_or_else(|_| Err(CommitError::Transient(late("the record")))) {
            Ok(()) => return self.end(open).await,
            Err(CommitError::Ended) => what_became_of(&mut open, self.database.error()).await,
            Err(error) => error,
        };
        rollback(&self.database.pool, open).await;
        Err(error)
    }

    async fn commit_unclaimed(&self, mut open: OpenTransaction<Postgres>) -> Result<(), CommitError> {
        let error = if !open.is_outermost() {
            never_ended()
        } else if has_failed(&mut open).await {
            // The server would answer such a commit with a rollback and no error.
            failed_in_silence()
        } else {
            return self.end(open).await;
        };
        rollback(&self.database.pool, open).await;
        Err(CommitError::Refused(error))
    }

    async fn record_in(&self, open: &mut OpenTransaction<Postgres>, ending: Ending<'_>) -> Result<(), CommitError> {
        if !open.is_outermost() {
            return Err(CommitError::Refused(never_ended()));
        }
        if !ending.keep_writes {
            let undo = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
            sqlx::raw_sql(AssertSqlSafe(undo)).execute(open.connection_mut()).await.map_err(self.uncommitted())?;
        }
        let id = ending.claim.id();
        let written = about(&self.record, id)
            .bind(ending.claim.request_hash.as_slice())
            .bind(ending.token)
            .bind(i32::from(ending.status))
            .bind(ending.headers)
            .bind(ending.body.as_ref())
            .bind(TICK.count(ending.claim.retention))
            .bind(i32::try_from(ending.attempt).unwrap_or(i32::MAX))
            .bind(self.database.lock_of(id))
            .bind(open.table)
            .fetch_optional(open.connection_mut())
            .await
            .map_err(self.uncommitted())?;
        if written.is_some() {
            return Ok(());
        }
        let is_ours = sqlx::query_as(self.is_ours.clone()).bind(ending.token).bind(open.table);
        let is_ours = is_ours.fetch_one(open.connection_mut()).await.map_err(self.uncommitted())?;
        Err(self.unrecorded(open, is_ours).await)
    }

    async fn record_step_in(
        &self,
        open: &mut OpenTransaction<Postgres>,
        step: StepRecord<'_>,
    ) -> Result<(), CommitError> {
        if !open.is_outermost() {
            return Err(CommitError::Refused(never_ended()));
        }
        refuse_nul(step.id()).map_err(CommitError::Refused)?;
        let entry = encode_step(&step).map_err(CommitError::Refused)?;
        let SessionId::OfLock { mark, .. } = open.session else {
            let claimed = "a step is recorded in a transaction that has claimed a key".to_owned();
            return Err(CommitError::Refused(StoreError::Internal(claimed)));
        };
        let recorded = about(&self.step, step.id())
            .bind(step.token)
            .bind(entry)
            .bind(mark)
            .execute(open.connection_mut())
            .await
            .map_err(self.uncommitted())?;
        if recorded.rows_affected() > 0 {
            return Ok(());
        }
        let is_ours = sqlx::query_as(self.is_ours_unclaimed.clone()).bind(mark);
        let is_ours = is_ours.fetch_one(open.connection_mut()).await.map_err(self.uncommitted())?;
        Err(self.unrecorded(open, is_ours).await)
    }

    /// Why there is no record, though no statement has failed.
    async fn unrecorded(&self, open: &mut OpenTransaction<Postgres>, (ours, same_table): (bool, bool)) -> CommitError {
        if ours && same_table {
            return CommitError::Taken;
        }
        // There while the transaction is the one that began, unless the handler has released it.
        let savepoint = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
        if !ours && sqlx::raw_sql(AssertSqlSafe(savepoint)).execute(open.connection_mut()).await.is_err() {
            return CommitError::Ended;
        }
        CommitError::Refused(StoreError::Internal(if ours {
            format!(
                "the handler's transaction finds another table by the name {}: give `PostgresStore::table` the table's \
                 schema, or put the `search_path` back before the handler returns",
                self.database.table
            )
        } else {
            format!(
                "the handler has changed the setting `{CLAIM}` (`RESET ALL`, say), which shows whose transaction it is"
            )
        }))
    }

    /// The commit itself.
    async fn end(&self, open: OpenTransaction<Postgres>) -> Result<(), CommitError> {
        let committed = tokio::time::timeout(COMMIT_TIMEOUT, commit(open)).await;
        let Ok(committed) = committed else { return Err(CommitError::Unknown(late("the commit"))) };
        committed.map_err(|error| {
            let cause = Cause::of_sqlx(&error);
            let error = self.database.error()(error);
            match cause {
                Some(Cause::Contention) => CommitError::Transient(error),
                // A constraint or a trigger that was deferred to the commit.
                Some(Cause::Constraint) => CommitError::Refused(error),
                _ => CommitError::Unknown(error),
            }
        })
    }

    /// An error from before the commit was sent.
    fn uncommitted(&self) -> impl FnOnce(sqlx::Error) -> CommitError {
        |error| {
            let cause = Cause::of_sqlx(&error);
            match (cause, self.database.error()(error)) {
                (Some(Cause::NoTransaction), _) => CommitError::Ended,
                (Some(Cause::FailedTransaction), _) => CommitError::Refused(failed_in_silence()),
                (_, error @ StoreError::Unavailable(_)) => CommitError::Transient(error),
                (_, error) => CommitError::Refused(error),
            }
        }
    }
}

async fn commit(mut open: OpenTransaction<Postgres>) -> Result<(), sqlx::Error> {
    if open.place.is_none() {
        return open.commit().await;
    }
    let committed = open.end_by("COMMIT").await;
    if let Err(sqlx::Error::Database(_)) = committed {
        // The server lets go of a refused transaction's locks after it has told of it. The next statement waits for
        // that; where it fails, the connection is closed.
        drop(open.end_by("ROLLBACK").await);
    }
    committed
}

/// Whether a statement has failed that the database does not let the transaction go on after.
pub(in crate::stores::postgres) async fn has_failed(open: &mut OpenTransaction<Postgres>) -> bool {
    sqlx::raw_sql("SELECT 1").execute(open.connection_mut()).await.is_err()
}

fn failed_in_silence() -> StoreError {
    StoreError::Database(
        "a statement of the handler's failed, so nothing can be committed, but the handler answered success".to_owned(),
    )
}
