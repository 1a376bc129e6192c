//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! While one runs, an advisory lock of the transaction stands for its key, taken without waiting: it is gone with the
//! transaction, however that ends, and no row of ours is locked or dead meanwhile. The row is inserted at the end, finished.
//! A reservation without a transaction knows nothing of the lock; where one took the key in the meantime, the insert
//! finds its row, and everything is rolled back.
//!
//! A setting local to the transaction holds the token of whoever got the lock. It says so to the statement that reads,
//! which is the next one so that it sees what the lock's last holder committed; and it is gone where the handler has
//! ended the transaction by itself, so that the record can tell.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Row as _, SqlSafeStr as _, SqlStr};
use tracing::warn;
use uuid::Uuid;

use super::watch::lock_of;
use super::{PostgresStore, TICK, live_row, refuse_nul, refused};
use crate::store::{Begun, CommitError, Ending, Isolation, Transact, TransactionalStore};
use crate::stores::open::{Open, SAVEPOINT, Session, is_transient, never_ended};
use crate::stores::row::{attempt, recordable, within};
use crate::{Claim, ClaimOutcome, StoreError};

/// A transaction that is idle rolls back within a round trip. One that is in a statement of the handler's would do so
/// only after it.
const PROMPT: Duration = Duration::from_millis(500);
/// How often it is looked whether a session that is to end has ended.
const TERMINATION_POLL: Duration = Duration::from_millis(5);
/// How long the record, and then the commit, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

impl TransactionalStore for PostgresStore {}

#[async_trait]
impl Transact for PostgresStore {
    type Transaction = Open<Postgres>;
    type SessionId = Session;

    fn session_id(&self, open: &Open<Postgres>) -> Session {
        open.session
    }

    async fn terminate(&self, session: Session) {
        if let Err(error) = terminate(&self.pool, session).await {
            warn!(%error, "a transaction's session could not be ended; its key is taken until it ends by itself");
        }
    }

    async fn begin(&self, claim: Option<Claim<'_>>, isolation: Isolation) -> Result<Begun<Open<Postgres>>, StoreError> {
        let Some(claim) = claim else {
            let transaction = self.begin_unclaimed(isolation).await?;
            return Ok(Begun::Reserved { transaction, token: Uuid::nil(), attempt: 0 });
        };
        let Claim { principal, key, .. } = claim;
        refuse_nul(principal, key)?;
        let token = Uuid::new_v4();
        // No table's name has a NUL, so this lock is none that a waiter takes.
        let lock = lock_of(&format!("{}\0transaction", self.sql.name.table()), principal, key);
        // Neither an integer nor a UUID can leave its place in the text.
        let begin = format!(
            "{begin}; SELECT set_config('{CLAIM}', CASE WHEN pg_try_advisory_xact_lock({lock}) THEN '{token}' ELSE '' END, \
             true); SAVEPOINT {SAVEPOINT}",
            begin = begin(isolation),
        );
        let begin = AssertSqlSafe(begin).into_sql_str();
        let connection = self.connection().await?;
        if isolation == Isolation::Serializable {
            return self.begin_serializable(connection, begin, claim, (token, lock)).await;
        }
        let mut open = Open::begin(connection, begin, None).await.map_err(refused(&self.sql.name))?;
        open.session.lock = Some(lock);
        let looked = match self.look(open.connection_mut(), claim, token).await {
            Ok(row) => self.judge(&row, &mut open, claim),
            Err(error) => Err(error),
        };
        self.begun(open, token, looked).await
    }

    async fn commit(&self, mut open: Open<Postgres>, ending: Option<Ending<'_>>) -> Result<(), CommitError> {
        let Some(ending) = ending else { return self.commit_unclaimed(open).await };
        recordable(ending.status).map_err(CommitError::Refused)?;
        let recorded = tokio::time::timeout(PATIENCE, self.record_in(&mut open, ending)).await;
        match recorded.unwrap_or_else(|_| Err(CommitError::Transient(late("the record")))) {
            Ok(()) => self.end(open).await,
            Err(error) => {
                let error = if error == CommitError::Ended { self.ended(&mut open).await } else { error };
                self.rollback(open).await;
                Err(error)
            }
        }
    }

    async fn rollback(&self, mut open: Open<Postgres>) {
        let rolled_back = tokio::time::timeout(PROMPT, open.rollback()).await;
        if let Ok(Ok(())) = rolled_back {
            return;
        }
        open.close_on_drop();
        // The server notices that a connection is gone only after the statement that it executes; the key, and
        // whatever else is locked, must not wait for that.
        if rolled_back.is_err() {
            self.terminate(open.session).await;
        }
    }

    async fn has_failed(&self, open: &mut Open<Postgres>) -> bool {
        sqlx::raw_sql("SELECT 1").execute(open.connection_mut()).await.is_err()
    }
}

/// The setting that holds the token; of the transaction alone, so that it ends with it.
pub(super) const CLAIM: &str = "cratestack.claim";

fn held<T>(outcome: ClaimOutcome) -> Begun<T> {
    match outcome {
        ClaimOutcome::Replay(record) => Begun::Replay(record),
        ClaimOutcome::Conflict => Begun::Conflict,
        ClaimOutcome::InFlight | ClaimOutcome::Reserved { .. } => Begun::InFlight,
    }
}

enum Looked {
    Free { attempt: u32 },
    Held(ClaimOutcome),
}

impl PostgresStore {
    async fn begin_unclaimed(&self, isolation: Isolation) -> Result<Open<Postgres>, StoreError> {
        let begin = SqlStr::from_static(begin(isolation));
        let mut open = Open::begin(self.connection().await?, begin, None).await.map_err(refused(&self.sql.name))?;
        open.session.pid = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(open.connection_mut())
            .await
            .map_err(refused(&self.sql.name))?;
        Ok(open)
    }

    async fn commit_unclaimed(&self, mut open: Open<Postgres>) -> Result<(), CommitError> {
        let refused = if !open.is_outermost() {
            never_ended()
        } else if self.has_failed(&mut open).await {
            // The server would answer such a commit with a rollback and no error.
            failed_in_silence()
        } else {
            return self.end(open).await;
        };
        self.rollback(open).await;
        Err(CommitError::Refused(refused))
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(refused(&self.sql.name))
    }

    /// Serializable transactions that look into the table are in each other's way where their rows share a page of it,
    /// though their keys have nothing to do with each other. So the look comes first, in no transaction.
    ///
    /// An outcome that is recorded between the look and the claim is not seen. The handler then runs, and the record
    /// finds that outcome's row, so that nothing of it stays.
    async fn begin_serializable(
        &self,
        mut connection: PoolConnection<Postgres>,
        begin: SqlStr,
        claim: Claim<'_>,
        (token, lock): (Uuid, i64),
    ) -> Result<Begun<Open<Postgres>>, StoreError> {
        let table = &self.sql.name;
        let row = self.look(&mut connection, claim, token).await?;
        if let Some(outcome) = self.live(&row, claim)? {
            return Ok(held(outcome));
        }
        let attempt = self.attempt(&row)?;
        let mut open = Open::begin(connection, begin, None).await.map_err(refused(table))?;
        open.session.lock = Some(lock);
        let claimed = sqlx::query(self.sql.is_claimed.clone()).bind(token).fetch_one(open.connection_mut()).await;
        let looked = claimed.map_err(refused(table)).and_then(|row| {
            open.session.pid = row.try_get(1).map_err(refused(table))?;
            open.table = row.try_get(2).map_err(refused(table))?;
            self.is_primary(&row, 3)?;
            let locked = row.try_get(0).map_err(refused(table))?;
            Ok(if locked { Looked::Free { attempt } } else { Looked::Held(ClaimOutcome::InFlight) })
        });
        self.begun(open, token, looked).await
    }

    async fn look(&self, connection: &mut PgConnection, claim: Claim<'_>, token: Uuid) -> Result<PgRow, StoreError> {
        let look = sqlx::query(self.sql.look.clone())
            .bind(claim.principal)
            .bind(claim.key)
            .bind(token)
            .bind(claim.request_hash.as_slice());
        let row = look.fetch_one(connection).await.map_err(refused(&self.sql.name))?;
        self.is_primary(&row, 11)?;
        Ok(row)
    }

    /// A standby lags behind: that it has no row, or has one, says nothing of what the primary has committed.
    fn is_primary(&self, row: &PgRow, column: usize) -> Result<(), StoreError> {
        if row.try_get(column).map_err(refused(&self.sql.name))? {
            return Err(StoreError::Unavailable(
                "the server is a standby in recovery, which does not know what has been committed: give the \
                 store a pool that connects to the primary"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// What the statement `look` has found. The row decides; without a live one, the lock does.
    fn judge(&self, row: &PgRow, open: &mut Open<Postgres>, claim: Claim<'_>) -> Result<Looked, StoreError> {
        let table = &self.sql.name;
        let locked: bool = row.try_get(7).map_err(refused(table))?;
        open.session.pid = row.try_get(8).map_err(refused(table))?;
        open.table = row.try_get(9).map_err(refused(table))?;
        if let Some(outcome) = self.live(row, claim)? {
            return Ok(Looked::Held(outcome));
        }
        Ok(if locked { Looked::Free { attempt: self.attempt(row)? } } else { Looked::Held(ClaimOutcome::InFlight) })
    }

    fn live(&self, row: &PgRow, claim: Claim<'_>) -> Result<Option<ClaimOutcome>, StoreError> {
        let table = &self.sql.name;
        let is_dead: Option<bool> = row.try_get(10).map_err(refused(table))?;
        if is_dead.unwrap_or(true) {
            return Ok(None);
        }
        let row = live_row(row, table)?;
        row.classify(claim.principal, claim.key, claim.request_hash).map_err(within(table)).map(Some)
    }

    /// Which attempt comes after the ones of a dead row.
    fn attempt(&self, row: &PgRow) -> Result<u32, StoreError> {
        let of_before: Option<i32> = row.try_get(0).map_err(refused(&self.sql.name))?;
        Ok(of_before.map_or(1, |count| attempt(Some(i64::from(count))).saturating_add(1)))
    }

    async fn begun(
        &self,
        open: Open<Postgres>,
        token: Uuid,
        looked: Result<Looked, StoreError>,
    ) -> Result<Begun<Open<Postgres>>, StoreError> {
        match looked {
            Ok(Looked::Free { attempt }) => Ok(Begun::Reserved { transaction: open, token, attempt }),
            Ok(Looked::Held(outcome)) => {
                self.rollback(open).await;
                Ok(held(outcome))
            }
            Err(error) => {
                self.rollback(open).await;
                Err(error)
            }
        }
    }

    async fn record_in(&self, open: &mut Open<Postgres>, ending: Ending<'_>) -> Result<(), CommitError> {
        if !open.is_outermost() {
            return Err(CommitError::Refused(never_ended()));
        }
        if !ending.keep_writes {
            let undo = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}");
            sqlx::raw_sql(AssertSqlSafe(undo)).execute(open.connection_mut()).await.map_err(self.uncommitted())?;
        }
        let Claim { principal, key, request_hash, retention, .. } = ending.claim;
        let recorded = sqlx::query(self.sql.record.clone())
            .bind(principal)
            .bind(key)
            .bind(request_hash.as_slice())
            .bind(ending.token)
            .bind(i32::from(ending.status))
            .bind(ending.headers)
            .bind(ending.body.as_ref())
            .bind(TICK.count(retention))
            .bind(i32::try_from(ending.attempt).unwrap_or(i32::MAX))
            .bind(lock_of(self.sql.name.table(), principal, key))
            .bind(open.table)
            .fetch_optional(open.connection_mut())
            .await
            .map_err(self.uncommitted())?;
        if recorded.is_some() { Ok(()) } else { Err(self.unrecorded(open, ending.token).await?) }
    }

    /// Why there is no record, though no statement has failed.
    async fn unrecorded(&self, open: &mut Open<Postgres>, token: Uuid) -> Result<CommitError, CommitError> {
        let (ours, same_table): (bool, bool) = sqlx::query_as(self.sql.is_ours.clone())
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
                "the handler's transaction finds another table by the name {}: give `PostgresStore::with_table` the table's \
                 schema, or put the `search_path` back before the handler returns",
                self.sql.name
            )
        } else {
            format!(
                "the handler has changed the setting `{CLAIM}` (`RESET ALL`, say), which shows whose transaction it is"
            )
        })))
    }

    /// The commit itself.
    async fn end(&self, open: Open<Postgres>) -> Result<(), CommitError> {
        let committed = tokio::time::timeout(PATIENCE, open.commit()).await;
        let Ok(committed) = committed else { return Err(CommitError::Unknown(late("the commit"))) };
        committed.map_err(|error| {
            let code = error.as_database_error().and_then(DatabaseError::code).map(std::borrow::Cow::into_owned);
            let transient = error.as_database_error().is_some_and(is_transient);
            let error = refused(&self.sql.name)(error);
            match code.as_deref() {
                _ if transient => CommitError::Transient(error),
                // Integrity constraints that were deferred to the commit, and triggers that were.
                Some(code) if ["23", "44", "P0"].iter().any(|class| code.starts_with(class)) => {
                    CommitError::Refused(error)
                }
                _ => CommitError::Unknown(error),
            }
        })
    }

    /// An error from before the commit was sent.
    fn uncommitted(&self) -> impl FnOnce(sqlx::Error) -> CommitError {
        |error| {
            let code = error.as_database_error().and_then(DatabaseError::code).map(std::borrow::Cow::into_owned);
            let transient = error.as_database_error().is_some_and(is_transient);
            match (code.as_deref(), refused(&self.sql.name)(error)) {
                // No such savepoint, no transaction.
                (Some("3B001" | "25P01"), _) => CommitError::Ended,
                (Some("25P02"), _) => CommitError::Refused(failed_in_silence()),
                (_, error @ StoreError::Unavailable(_)) => CommitError::Transient(error),
                (_, error) if transient => CommitError::Transient(error),
                (_, error) => CommitError::Refused(error),
            }
        }
    }
}

fn begin(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Default => "BEGIN",
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

fn failed_in_silence() -> StoreError {
    StoreError::Database(
        "a statement of the handler's failed, so nothing can be committed, but the handler answered success".to_owned(),
    )
}

pub(super) fn late(what: &str) -> StoreError {
    StoreError::Unavailable(format!("no answer to {what} within {PATIENCE:?}"))
}

/// Ends a session from outside, and waits until it has let go of its key: the server is only told to end it. Its pool may have
/// no connection to spare, so this takes one of its own. After a failover another session may have got its number: one that
/// claimed a key is known by its lock too.
async fn terminate(pool: &PgPool, Session { pid, lock }: Session) -> Result<(), sqlx::Error> {
    let ending = async {
        let mut aside = PgConnection::connect_with(&pool.connect_options()).await?;
        loop {
            let told: Option<bool> = sqlx::query_scalar(
                "SELECT pg_terminate_backend($1) FROM pg_stat_get_activity($1) AS session
                WHERE $2::bigint IS NULL OR EXISTS (
                    SELECT FROM pg_locks
                    WHERE pid = $1 AND locktype = 'advisory' AND objsubid = 1
                    AND ((classid::bigint << 32) | objid::bigint) = $2
                )",
            )
            .bind(pid)
            .bind(lock)
            .fetch_optional(&mut aside)
            .await?;
            if told.is_none() {
                return aside.close().await;
            }
            tokio::time::sleep(TERMINATION_POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, ending).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
