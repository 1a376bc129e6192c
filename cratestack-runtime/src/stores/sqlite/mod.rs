//! One file for each operation: its statements, and what their rows mean. All that writes meets in `write`.

mod database;
mod finish;
mod migrate;
mod records;
mod release;
mod renew;
mod reserve;
mod session;
mod step;
#[cfg(all(feature = "axum", feature = "testing"))]
mod testing;
#[cfg(test)]
mod tests;
mod throttle;
mod transact;
mod transaction;
mod turn;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cratestack_schema::{Dialect, NameError, Report, TableName};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqlStr, SqlitePool};
use uuid::Uuid;

use self::database::{Database, TICK};
use self::reserve::ReserveArgs;
use self::session::FileSession;
use self::transaction::Transactions;
use self::write::{LentWrite, Write, WriteAnswer, Writer};
use crate::store::{
    Claim, ClaimOutcome, ClockSample, Completion, IdempotencyStore, LeaseState, RecordIdRef, RecordInfo, RecordQuery,
    RecordedStep, Removal, RemovalOutcome, RemovedAll, ReservationOutcome, StepRecord, StoreError, encode_step,
};
use crate::stores::batch::BatchQueue;
use crate::stores::renewal::{Renewal, renew_in_time};
use crate::stores::sql::{StepArgs, check, in_table, shared};
use crate::stores::status::recordable;

/// Keeps reservations and outcomes in a table of an SQLite database: the store for one machine, a file and no server.
///
/// Several processes may share the file, in any journal mode; how long one waits for another's write is the
/// connection's `busy_timeout` (five seconds unless set otherwise). The writes of one store and its clones queue among
/// themselves: renewals, outcomes and releases before new reservations and transactions, in order otherwise. Every
/// method's write is one statement (`migrate` is one transaction), so dropping a future leaves nothing half-done.
///
/// Where many requests come at once, their calls share commits; see [`group_commit`](Self::group_commit).
///
/// The table must be there first: call [`migrate`](Self::migrate) when the program starts.
///
/// ```
/// use cratestack_runtime::{IdempotencyStore, ReservationOutcome, SqliteStore};
/// use sqlx::sqlite::SqlitePoolOptions;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In memory each connection is a database of its own, hence one; `sqlite://app.db?mode=rwc` needs no such bound.
/// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
/// let store = SqliteStore::new(pool);
/// store.migrate().await?;
///
/// let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_secs(24 * 60 * 60);
/// let outcome = store.reserve_or_fetch("alice", "8e03978e", [7; 32], tomorrow).await?;
/// assert!(matches!(outcome, ReservationOutcome::Reserved { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
    operations: Arc<Operations>,
    /// `None` where the database ends with its connections, as the process goes on without them.
    session: Option<Arc<FileSession>>,
}

#[derive(Debug)]
struct Operations {
    writes: BatchQueue<Writer>,
    sweep: SqlStr,
    transactions: Transactions,
}

impl Operations {
    fn new(database: &Database, is_batching: bool) -> Self {
        let writes = Writer::queue(database, is_batching);
        Self {
            sweep: shared(database.table.sweep(Dialect::Sqlite)),
            transactions: Transactions::new(database.clone(), Arc::clone(&writes.operation().statements)),
            writes,
        }
    }
}

/// How often a key is asked for before the answer is that another request is running, which is then all but certain:
/// each look that found nothing was overtaken by somebody else's reservation.
const MAX_RESERVE_ATTEMPTS: u32 = 5;

impl SqliteStore {
    /// A store over `pool`. Does not connect.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::SqlitePool) {
    /// let store = cratestack_runtime::SqliteStore::new(pool);
    /// # }
    /// ```
    pub fn new(pool: SqlitePool) -> Self {
        let has_file = !ends_with_its_connections(&pool.connect_options());
        let database = Database::new(pool, TableName::default());
        let operations = Arc::new(Operations::new(&database, has_file));
        Self { database, operations, session: has_file.then(|| Arc::new(FileSession::new())) }
    }

    /// Names the table. Default: `cratestack_idempotency`, in the main database or one that is attached.
    ///
    /// A schema is the name of an attached database: every connection of the pool must have attached it.
    ///
    /// # Errors
    ///
    /// When SQLite reserves the name: no table's begins with `sqlite_`.
    ///
    /// ```no_run
    /// use cratestack_runtime::SqliteStore;
    /// use cratestack_runtime::schema::TableName;
    ///
    /// # fn make(pool: sqlx::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::new(pool).table(TableName::new(None, "Idempotency Keys")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn table(mut self, name: TableName) -> Result<Self, NameError> {
        name.check(Dialect::Sqlite)?;
        self.database.table = Arc::new(name);
        let is_batching = self.operations.writes.is_batching();
        Ok(self.group_commit(is_batching))
    }

    /// Whether calls that arrive while a write is on its way share the next commit. Default: they do, unless the
    /// database is in memory, or temporary (its file has no name).
    ///
    /// There it must stay off (turn it off where the table is in an attached database of this sort, which is not seen
    /// from here): after an error the connection of a shared commit may be closed, with which such a database is gone.
    /// A commit costs nothing there anyway.
    ///
    /// On a file a commit waits for the disk, and with many requests at once this is several times the throughput. A
    /// call that finds no write on its way is made at once, by itself: there is no timer, and a service with little to
    /// do notices nothing. Each caller gets its own answer once all is committed, whatever becomes of those beside it:
    /// where SQLite refuses one call, nothing of what it shared is committed, and every call of it is made by itself.
    /// Where somebody else has the database for longer than `busy_timeout`, all of them are told so. Transactions of
    /// handlers take turns with these commits, and writers elsewhere find the database free now and then: while commit
    /// follows commit there is a pause of a millisecond each few.
    ///
    /// Clones share their commits, so this belongs where the store is made.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::SqlitePool) {
    /// let store = cratestack_runtime::SqliteStore::new(pool).group_commit(false);
    /// # }
    /// ```
    #[must_use]
    pub fn group_commit(mut self, on: bool) -> Self {
        self.operations = Arc::new(Operations::new(&self.database, on));
        self
    }

    /// Creates the table, or upgrades one of an older version in place.
    ///
    /// Safe to call from every process that shares the file at once, and while others use the table.
    ///
    /// # Errors
    ///
    /// When the database cannot be opened or refuses, when another process writes for longer than `busy_timeout`, or
    /// when a table of this name is there that is not ours.
    ///
    /// ```no_run
    /// # async fn start(store: cratestack_runtime::SqliteStore) -> Result<(), cratestack_runtime::StoreError> {
    /// store.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let _turn = self.database.turn.take().await;
        migrate::migrate(&self.database).await
    }

    /// What the database has, compared with what this program needs: the same report as `cratestack-schema check`.
    ///
    /// Reads the catalogue only.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or refuses. A table that is missing or wrong is no error but a report.
    ///
    /// ```no_run
    /// # async fn start(store: cratestack_runtime::SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.check().await?;
    /// if !report.is_clean() {
    ///     return Err(report.to_string().into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self) -> Result<Report, StoreError> {
        check(&self.database.pool, Dialect::Sqlite, &self.database.table).await
    }

    async fn write(&self, id: RecordIdRef<'_>, write: LentWrite<'_, '_>) -> Result<WriteAnswer, StoreError> {
        self.operations.writes.call(id, write).await
    }

    /// Whether the outcome was recorded by this call.
    async fn record(&self, completion: Completion<'_>) -> Result<bool, StoreError> {
        recordable(completion.status)?;
        let answer = self.write(completion.id(), Write::Finish(completion)).await?;
        Ok(matches!(answer, WriteAnswer::Finished(true)))
    }
}

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.reserve(Claim::until(principal, key, request_hash, expires_at)).await.map(ReservationOutcome::from)
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        let body = &Bytes::copy_from_slice(body);
        self.record(Completion { principal, key, token, status, headers, body }).await.map(drop)
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        self.write(RecordIdRef { principal, key }, Write::Release { token }).await.map(drop)
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let reserve = &self.operations.writes.operation().statements.reserve;
        let times = TICK.reservation(claim.lease, claim.retention);
        for _ in 0..MAX_RESERVE_ATTEMPTS {
            // Before anything waits for its turn: a replay needs none.
            let mut connection = self.database.acquire().await?;
            if let Some(outcome) = reserve.live(&self.database, &mut connection, &claim).await? {
                return Ok(outcome);
            }
            drop(connection);
            let args = ReserveArgs { token: Uuid::new_v4(), request_hash: claim.request_hash, times };
            if let WriteAnswer::Reserved(Some(grant)) = self.write(claim.id(), Write::Reserve(args)).await? {
                return Ok(grant.take());
            }
        }
        Ok(ClaimOutcome::InFlight)
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let times = TICK.renewal(lease, retention);
        renew_in_time(lease, || async {
            let call = Write::Renew { token, times };
            match self.write(RecordIdRef { principal, key }, call).await? {
                WriteAnswer::Renewed(renewed) => Ok(renewed.answered()),
                _ => Ok(Renewal::Lost),
            }
        })
        .await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        if self.record(completion).await? {
            return Ok(LeaseState::Held);
        }
        // The row is not in flight under this token. If it bears the token all the same, an earlier call recorded it
        // whose answer was lost.
        let mut connection = self.database.acquire().await?;
        let finish = &self.operations.writes.operation().statements.finish;
        let is_recorded = finish.is_of_token(&mut connection, completion.id(), completion.token).await;
        Ok(if is_recorded.map_err(self.database.error())? { LeaseState::Held } else { LeaseState::Lost })
    }

    fn keeps_steps(&self) -> bool {
        true
    }

    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        let entry = &encode_step(&step)?;
        let answer = self.write(step.id(), Write::Step(StepArgs { token: step.token, entry })).await?;
        Ok(if matches!(answer, WriteAnswer::Stepped(true)) { LeaseState::Held } else { LeaseState::Lost })
    }

    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let mut connection = self.database.acquire().await?;
        let step = &self.operations.writes.operation().statements.step;
        let recorded = step.recorded(&mut connection, RecordIdRef { principal, key }, token, self.database.error());
        recorded.await.map_err(in_table(&self.database.table))
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        let Some(session) = &self.session else { return Ok(None) };
        session.sample(&self.database.pool, &self.database.table).await.map(Some).map_err(self.database.error())
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let _turn = self.database.turn.take().await;
        let sweep = sqlx::query(self.operations.sweep.clone()).bind(i64::from(limit));
        let swept = sweep.execute(&self.database.pool).await.map_err(self.database.error())?;
        Ok(swept.rows_affected())
    }

    async fn show(&self, principal: &str, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        records::show(&self.database, RecordIdRef { principal, key }).await
    }

    async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        records::list(&self.database, query).await
    }

    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        records::remove(&self.database, RecordIdRef { principal, key }, removal).await
    }

    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        records::remove_all_of(&self.database, principal, removal, limit).await
    }
}

/// Whether nothing of the database is left once no connection is: it is in memory, or its file has no name.
fn ends_with_its_connections(options: &SqliteConnectOptions) -> bool {
    let name = options.get_filename().to_string_lossy();
    let (path, asked) = match name.strip_prefix("file:") {
        Some(uri) => uri.split_once('?').unwrap_or((uri, "")),
        None => (name.as_ref(), ""),
    };
    // The only way to the flags. With another name, as sqlx makes no URL of some.
    let flags = options.clone().filename("any").to_url_lossy();
    matches!(path, "" | ":memory:")
        || [asked, flags.query().unwrap_or_default()]
            .iter()
            .flat_map(|query| query.split('&'))
            .any(|flag| matches!(flag, "mode=memory" | "vfs=memdb"))
}
