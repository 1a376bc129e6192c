//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! SQLite has one writer at a time, so a transaction that has begun to write has every key.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr, Sqlite};
use uuid::Uuid;

use super::{SqliteStore, TICK, judge, read, refused};
use crate::store::{Begun, CommitError, Ending, Isolation, Transact, TransactionalStore};
use crate::stores::open::{Open, SAVEPOINT, never_ended};
use crate::stores::refusal::Refusal;
use crate::stores::row::{attempt, recordable, within};
use crate::{Claim, ClaimOutcome, StoreError};

impl TransactionalStore for SqliteStore {}

#[async_trait]
impl Transact for SqliteStore {
    type Transaction = Open<Sqlite>;
    type SessionId = ();

    fn session_id(&self, _: &Open<Sqlite>) {}

    /// A transaction is within this process, and ends with whoever has it.
    async fn terminate(&self, (): ()) {}

    async fn begin(&self, claim: Option<Claim<'_>>, _: Isolation) -> Result<Begun<Open<Sqlite>>, StoreError> {
        let Some(claim) = claim else {
            let transaction = self.open().await?;
            return Ok(Begun::Reserved { transaction, token: Uuid::nil(), attempt: 0 });
        };
        let Claim { principal, key, request_hash, .. } = claim;
        let table = &self.sql.name;
        // A replay needs no turn.
        let live = self.sql.live((principal, key), &request_hash).fetch_optional(&self.pool).await;
        if let Some(row) = live.map_err(refused(table))? {
            return read(&row, table)?.classify(principal, key, request_hash).map(held).map_err(within(table));
        }
        let mut open = self.open().await?;
        let live = self.sql.live((principal, key), &request_hash).fetch_optional(open.connection_mut()).await;
        if let Some(row) = live.map_err(refused(table))? {
            return read(&row, table)?.classify(principal, key, request_hash).map(held).map_err(within(table));
        }
        let row = sqlx::query(self.sql.attempted.clone())
            .bind(principal)
            .bind(key)
            .bind(request_hash.as_slice())
            .fetch_one(open.connection_mut())
            .await
            .map_err(refused(table))?;
        open.began = row.try_get(1).map_err(refused(table))?;
        let dead: Option<i64> = row.try_get(0).map_err(refused(table))?;
        let attempt = dead.map_or(1, |count| attempt(Some(count)).saturating_add(1));
        Ok(Begun::Reserved { transaction: open, token: Uuid::new_v4(), attempt })
    }

    async fn commit(&self, mut open: Open<Sqlite>, ending: Option<Ending<'_>>) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        if let Err(error) = self.record_in(&mut open, ending).await {
            if error == CommitError::Ended {
                // sqlx knows nothing of that end, and will roll back: there must be something to.
                let _ = sqlx::raw_sql("BEGIN").execute(open.connection_mut()).await;
            }
            self.rollback(open).await;
            return Err(error);
        }
        self.end(open).await
    }

    async fn rollback(&self, mut open: Open<Sqlite>) {
        if open.rollback().await.is_err() {
            open.close_on_drop();
        }
    }

    async fn has_failed(&self, _: &mut Open<Sqlite>) -> bool {
        // A statement that fails leaves the transaction as it was before it.
        false
    }
}

fn held<T>(outcome: ClaimOutcome) -> Begun<T> {
    match outcome {
        ClaimOutcome::Replay(record) => Begun::Replay(record),
        ClaimOutcome::Conflict => Begun::Conflict,
        ClaimOutcome::InFlight | ClaimOutcome::Reserved { .. } => Begun::InFlight,
    }
}

impl SqliteStore {
    async fn commit_unclaimed(&self, mut open: Open<Sqlite>) -> Result<(), CommitError> {
        // It is gone where the handler has ended the transaction by itself; the depth is known afterwards.
        if self.raw(&mut open, "RELEASE").await.is_ok() && !open.is_outermost() {
            self.rollback(open).await;
            return Err(CommitError::Refused(never_ended()));
        }
        self.end(open).await
    }

    async fn open(&self) -> Result<Open<Sqlite>, StoreError> {
        let turn = self.turn.take().await;
        let connection = self.pool.acquire().await.map_err(refused(&self.sql.name))?;
        let begin = SqlStr::from_static("BEGIN IMMEDIATE");
        let mut open = Open::begin(connection, begin, Some(turn)).await.map_err(refused(&self.sql.name))?;
        self.raw(&mut open, "SAVEPOINT").await.map_err(refused(&self.sql.name))?;
        Ok(open)
    }

    /// A statement about the savepoint.
    async fn raw(&self, open: &mut Open<Sqlite>, verb: &str) -> Result<(), sqlx::Error> {
        let statement = AssertSqlSafe(format!("{verb} {SAVEPOINT}")).into_sql_str();
        sqlx::raw_sql(statement).execute(open.connection_mut()).await.map(drop)
    }

    async fn record_in(&self, open: &mut Open<Sqlite>, ending: Ending<'_>) -> Result<(), CommitError> {
        let refused = |error| CommitError::Refused(refused(&self.sql.name)(error));
        if !ending.keep_writes {
            self.raw(open, "ROLLBACK TO").await.map_err(|_| CommitError::Ended)?;
        }
        // It is gone where the handler has ended the transaction by itself.
        self.raw(open, "RELEASE").await.map_err(|_| CommitError::Ended)?;
        // Known once the statement before has been through the connection's queue.
        if !open.is_outermost() {
            return Err(CommitError::Refused(never_ended()));
        }
        let Claim { principal, key, request_hash, retention, .. } = ending.claim;
        let recorded = sqlx::query(self.sql.record.clone())
            .bind(principal)
            .bind(key)
            .bind(request_hash.as_slice())
            .bind(ending.token)
            .bind(i64::from(ending.status))
            .bind(ending.headers)
            .bind(ending.body.as_ref())
            .bind(TICK.count(retention))
            .bind(i64::from(ending.attempt))
            .bind(open.began)
            .execute(open.connection_mut())
            .await
            .map_err(refused)?;
        if recorded.rows_affected() > 0 { Ok(()) } else { Err(CommitError::Taken) }
    }

    async fn end(&self, open: Open<Sqlite>) -> Result<(), CommitError> {
        open.commit().await.map_err(|error| {
            let refusal = error.as_database_error().map(judge);
            let error = refused(&self.sql.name)(error);
            match refusal {
                Some(Refusal::Unavailable) => CommitError::Transient(error),
                Some(_) => CommitError::Refused(error),
                None => CommitError::Unknown(error),
            }
        })
    }
}
