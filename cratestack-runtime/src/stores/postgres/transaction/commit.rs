//! Committing a transaction, in one commit with the record of its outcome.

use sqlx::{AssertSqlSafe, Postgres, SqlStr};
use uuid::Uuid;

use super::begin::{CLAIM, oid, ours};
use super::prepared::{COMMIT_TIMEOUT, late, what_became_of};
use super::rollback::rollback;
use crate::store::{CommitError, Ending, StoreError};
use crate::stores::postgres::database::Database;
use crate::stores::postgres::lock::class_of;
use crate::stores::postgres::sql::{after, notifying};
use crate::stores::postgres::timestamptz::TICK;
use crate::stores::sql::{Cause, OpenTransaction, SAVEPOINT, about, never_ended, record, recordable, shared};

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

#[derive(Debug)]
pub(in crate::stores::postgres) struct Commit {
    database: Database,
    record: SqlStr,
    is_ours: SqlStr,
}

impl Commit {
    pub(in crate::stores::postgres) fn new(database: Database) -> Self {
        let (table, oid, class) = (&database.table.sql(), &oid(&database.table), class_of(database.table.table()));
        Self { record: shared(recorded(table, oid, class)), is_ours: shared(is_ours(oid)), database }
    }

    pub(in crate::stores::postgres) async fn run(
        &self,
        mut open: OpenTransaction<Postgres>,
        ending: Option<Ending<'_>>,
    ) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        let recorded = tokio::time::timeout(COMMIT_TIMEOUT, self.record_in(&mut open, ending)).await;
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
        if written.is_some() { Ok(()) } else { Err(self.unrecorded(open, ending.token).await?) }
    }

    /// Why there is no record, though no statement has failed.
    async fn unrecorded(&self, open: &mut OpenTransaction<Postgres>, token: Uuid) -> Result<CommitError, CommitError> {
        let (ours, same_table): (bool, bool) = sqlx::query_as(self.is_ours.clone())
            .bind(token)
            .bind(open.table)
            .fetch_one(open.connection_mut())
            .await
            .map_err(self.uncommitted())?;
        if ours && same_table {
            return Ok(CommitError::Taken);
        }
        // There while the transaction is the one that began, unless the handler has released it.
        let savepoint = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
        if !ours && sqlx::raw_sql(AssertSqlSafe(savepoint)).execute(open.connection_mut()).await.is_err() {
            return Ok(CommitError::Ended);
        }
        Ok(CommitError::Refused(StoreError::Internal(if ours {
            format!(
                "the handler's transaction finds another table by the name {}: give `PostgresStore::table` the table's \
                 schema, or put the `search_path` back before the handler returns",
                self.database.table
            )
        } else {
            format!(
                "the handler has changed the setting `{CLAIM}` (`RESET ALL`, say), which shows whose transaction it is"
            )
        })))
    }

    /// The commit itself.
    async fn end(&self, open: OpenTransaction<Postgres>) -> Result<(), CommitError> {
        let committed = tokio::time::timeout(COMMIT_TIMEOUT, open.commit()).await;
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

/// Whether a statement has failed that the database does not let the transaction go on after.
pub(in crate::stores::postgres) async fn has_failed(open: &mut OpenTransaction<Postgres>) -> bool {
    sqlx::raw_sql("SELECT 1").execute(open.connection_mut()).await.is_err()
}

fn failed_in_silence() -> StoreError {
    StoreError::Database(
        "a statement of the handler's failed, so nothing can be committed, but the handler answered success".to_owned(),
    )
}
