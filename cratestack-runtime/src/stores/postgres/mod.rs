//! One file for each operation: its statement for one key, its statement for many, and what their rows mean.
//!
//! What a caller is told is what its call alone would have told it, whoever shared its statement:
//!
//! - Of several reservations of one key the first is in the statement, and the others are answered from what became of
//!   it; of several calls of another operation for one key the others go alone, afterwards.
//! - Where the database refuses a batch for something that one row may be to blame for, nothing has happened, and every
//!   caller of it goes alone.
//! - Where the answer of a batch is lost, nobody knows what happened, and every caller is told so.
//! - A reservation whose caller has gone is given back.
//!
//! Rows are sorted by key, so that two batches lock what they share in the same order.
//!
//! `fetch_optional`, `fetch_all` and `execute` of sqlx's Postgres driver read on until the server is ready for the next
//! statement. That is what tells that the implicit transaction has committed, so an answer that is given then is
//! durable.

mod compression;
mod connection;
mod database;
mod finish;
mod lock;
mod migrate;
mod notify;
mod operations;
mod records;
mod release;
mod renew;
mod reserve;
mod session;
mod sql;
mod step;
mod sweep;
#[cfg(all(feature = "axum", feature = "testing"))]
mod testing;
mod timestamptz;
mod transaction;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cratestack_schema::{Dialect, NameError, Report, TableName};
use sqlx::PgPool;
use uuid::Uuid;

use self::database::{Database, refuse_nul};
use self::lock::class_of;
use self::notify::Watcher;
use self::operations::Operations;
use self::renew::RenewArgs;
use self::reserve::ReserveArgs;
use self::session::ServerSession;
use self::timestamptz::TICK;
use self::transaction::connections::TransactionConnections;
use crate::store::{
    Claim, ClaimOutcome, ClockSample, Completion, IdempotencyStore, LeaseState, RecordIdRef, RecordInfo, RecordQuery,
    RecordedStep, Removal, RemovalOutcome, RemovedAll, ReservationOutcome, StepRecord, StoreError, Watch, encode_step,
};
use crate::stores::renewal::renew_in_time;
use crate::stores::sql::{StepArgs, check, in_table};
use crate::stores::status::recordable;

/// Keeps reservations and outcomes in a table of a Postgres database: the store for a fleet.
///
/// Every method is one statement outside any transaction (`migrate` is one transaction), so dropping a future leaves
/// nothing half-done. All times are the database's.
///
/// Where many requests come at once, their calls share statements and commits; see
/// [`group_commit`](Self::group_commit).
///
/// The server compresses outcomes of more than some 2 kB, by `lz4` where it has that; unless a method was chosen for
/// the column (`ALTER TABLE … ALTER COLUMN response_body SET COMPRESSION pglz`), or another default for the server.
/// What a [`transaction`](crate::TransactionalStore) records is compressed by the server's default.
///
/// A store and its clones may have these connections beside the pool's `max_connections`:
///
/// - One by which renewals, outcomes and releases go where the pool has none for fifty milliseconds, because handlers
///   may hold all of it. It has the pool's own options and hooks, and is closed with the pool or after a minute without
///   use.
/// - One that listens while duplicates wait for a run of another process, closed after a minute without use.
/// - One that shows whether the server is still the one that it was, for
///   [`Idempotency::replay_cache_bytes`](crate::Idempotency::replay_cache_bytes).
/// - One for each transaction that is ended from outside, while that lasts.
/// - As many as [`transaction_connections`](Self::transaction_connections) says, for transactions; none by default.
///
/// The table must be there first: call [`migrate`](Self::migrate) when the program starts, or apply what
/// `cratestack-schema ddl` prints.
///
/// Principals and keys are stored whole; Postgres bounds what its primary key holds, to about 2,700 bytes for the two
/// together. A longer one is refused with an error, as is one that contains a NUL character.
///
/// By default sqlx pings a connection each time it is taken from the pool, a round trip as long as a reservation's own;
/// `PgPoolOptions::test_before_acquire(false)` saves it. It also pings each connection that is given back, which no
/// option saves. Nobody waits for the answer to that, but until it is there the connection is nobody else's: over a
/// network a pool has to be as much larger. A statement that calls share, and a transaction, take one connection once.
///
/// ```no_run
/// use cratestack_runtime::PostgresStore;
/// use sqlx::postgres::PgPoolOptions;
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPoolOptions::new().connect("postgres://localhost/payments").await?;
/// let store = PostgresStore::new(pool);
/// store.migrate().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Database,
    operations: Arc<Operations>,
    watcher: Arc<Watcher>,
    session: Arc<ServerSession>,
}

impl PostgresStore {
    /// A store over `pool`. Does not connect.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::PgPool) {
    /// let store = cratestack_runtime::PostgresStore::new(pool);
    /// # }
    /// ```
    pub fn new(pool: PgPool) -> Self {
        Self::over(Database::new(pool, TableName::default()), true)
    }

    fn over(database: Database, is_batching: bool) -> Self {
        let operations = Arc::new(Operations::new(&database, is_batching));
        Self { database, operations, watcher: Arc::default(), session: Arc::default() }
    }

    /// Names the table. Default: `cratestack_idempotency`, where the `search_path` finds it.
    ///
    /// Clones share what they wait for, so this belongs where the store is made.
    ///
    /// # Errors
    ///
    /// When Postgres reserves the name: nobody can create a schema that begins with `pg_`.
    ///
    /// ```no_run
    /// use cratestack_runtime::PostgresStore;
    /// use cratestack_runtime::schema::TableName;
    ///
    /// # fn make(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = PostgresStore::new(pool).table(TableName::new(Some("payments"), "Idempotency Keys")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn table(self, name: TableName) -> Result<Self, NameError> {
        name.check(Dialect::Postgres)?;
        let database = Database { table: Arc::new(name), ..self.database };
        Ok(Self::over(database, self.operations.reserve.is_batching()))
    }

    /// Whether calls that arrive while a statement is on its way share the next one, and its commit. Default: they do.
    ///
    /// A call that finds no statement on its way is made at once, by itself: there is no timer, and a service with
    /// little to do notices nothing. Where a statement is most of its time on the wire, waiting for the one before it
    /// gains nothing, so the further the server is, the more of them may be on their way at once: of reservations, and
    /// of outcomes, as many as take half of the pool's connections, and at most 12. How far it is the store sees from
    /// how long its statements take. With many requests at once this is several times the throughput, on few
    /// connections. Each caller gets its own answer, whatever becomes of those beside it: where one row makes the
    /// database refuse a statement, or is locked by somebody for a quarter of a second, every call of that statement is
    /// made by itself.
    ///
    /// Clones share their statements, so this belongs where the store is made.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::PgPool) {
    /// let store = cratestack_runtime::PostgresStore::new(pool).group_commit(false);
    /// # }
    /// ```
    #[must_use]
    pub fn group_commit(mut self, on: bool) -> Self {
        self.operations = Arc::new(Operations::new(&self.database, on));
        self
    }

    /// How many connections of its own the store may keep for transactions, beside the pool's. Default: none.
    ///
    /// Around what an `#[idempotent(transaction)]` handler sends itself there are four messages, each of which waits for
    /// its answer: one begins and claims the key, one looks for an outcome, one records, one commits. On a connection
    /// of the store's own the first two are one, which over a network saves a fifth of a small transaction's time; beside
    /// the database it saves nothing, as their text is planned each time. On the pool's they cannot be one: sqlx has to
    /// see a transaction begin there, and then shows nothing of what was found.
    ///
    /// They have the options and hooks of the pool, except that none is tested before it is used (where one turns out
    /// to have died, the transaction begins on the pool's), and are closed with it, or after a minute without use. They
    /// are opened as transactions need them, no more than the pool may have itself. A transaction never waits for one:
    /// where none is free, it takes one of the pool. A handler that uses nothing but its `Tx` needs none of the pool's
    /// then, so what is given here can be taken off `max_connections`.
    ///
    /// Between two transactions sqlx counts such a connection as being in one, which a hook (`after_release`,
    /// `before_acquire`) must not begin or end. The principal and the key stand in the text of the first message, and so
    /// in the server's log where that logs it (by default where the statement fails); outcomes never do. Where one of
    /// the two is not ASCII and the database not in UTF-8, the transaction takes a connection of the pool.
    ///
    /// Clones share them, so this belongs where the store is made.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::PgPool) {
    /// let store = cratestack_runtime::PostgresStore::new(pool).transaction_connections(8);
    /// # }
    /// ```
    #[must_use]
    pub fn transaction_connections(mut self, max: u32) -> Self {
        self.database.transactions = TransactionConnections::new(self.database.pool.clone(), max);
        self.operations = Arc::new(Operations::new(&self.database, self.operations.reserve.is_batching()));
        self
    }

    /// Creates the table, or upgrades one of an older version in place.
    ///
    /// Safe to call from every process of a fleet at once, and while others use the table: an upgrade adds nullable
    /// columns, and takes the table's lock only if there is something to add. A table that was named without a
    /// schema is looked for along the `search_path`; a new one is created in its first schema. A schema is not created.
    ///
    /// Traffic queues behind whoever waits for the table's lock, so the upgrade waits a quarter of a second (or the
    /// connection's own `lock_timeout`), lets the queue drain, and tries again for twenty seconds. A plain table that
    /// has lost its index gets it back while others write; one process of the fleet waits for that, if its role owns
    /// the table.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or refuses, when the lock cannot be had, or when a table of this name is
    /// there that is not ours.
    ///
    /// ```no_run
    /// # async fn start(store: cratestack_runtime::PostgresStore) -> Result<(), cratestack_runtime::StoreError> {
    /// store.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.database).await
    }

    /// What the database has, compared with what this program needs: the same report as `cratestack-schema check`.
    ///
    /// Reads the catalogue only. A role without any right on the table can ask.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or refuses. A table that is missing or wrong is no error but a report.
    ///
    /// ```no_run
    /// # async fn start(store: cratestack_runtime::PostgresStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.check().await?;
    /// if !report.is_clean() {
    ///     return Err(report.to_string().into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self) -> Result<Report, StoreError> {
        check(&self.database.pool, Dialect::Postgres, &self.database.table).await
    }

    /// Whether the outcome was recorded by this call.
    async fn record(&self, completion: Completion<'_>) -> Result<bool, StoreError> {
        refuse_nul(completion.id())?;
        recordable(completion.status)?;
        self.operations.finish.call(completion.id(), completion).await
    }
}

#[async_trait]
impl IdempotencyStore for PostgresStore {
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
        let id = RecordIdRef { principal, key };
        refuse_nul(id)?;
        self.operations.release.call(id, token).await
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        refuse_nul(claim.id())?;
        let times = TICK.reservation(claim.lease, claim.retention);
        let args = ReserveArgs { request_hash: claim.request_hash, times };
        Ok(self.operations.reserve.call(claim.id(), args).await?.take())
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let id = RecordIdRef { principal, key };
        refuse_nul(id)?;
        let args = RenewArgs { token, times: TICK.renewal(lease, retention) };
        renew_in_time(lease, || self.operations.renew.call(id, args)).await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        // Where nothing is recorded, the row is not in flight under this token. If it bears the token all the same, an
        // earlier call recorded it whose answer was lost.
        let is_recorded = self.record(completion).await?
            || self.operations.finish.operation().is_of_token(completion.id(), completion.token).await?;
        Ok(if is_recorded { LeaseState::Held } else { LeaseState::Lost })
    }

    fn keeps_steps(&self) -> bool {
        true
    }

    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        refuse_nul(step.id())?;
        let entry = &encode_step(&step)?;
        let is_recorded = self.operations.step.call(step.id(), StepArgs { token: step.token, entry }).await?;
        Ok(if is_recorded { LeaseState::Held } else { LeaseState::Lost })
    }

    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let id = RecordIdRef { principal, key };
        refuse_nul(id)?;
        self.operations.step.operation().recorded(id, token).await.map_err(in_table(&self.database.table))
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        let lock = self.database.lock_of(RecordIdRef { principal, key });
        Ok(self.watcher.watch(&self.database.pool, class_of(self.database.table.table()), lock).await)
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        let sample = self.session.sample(&self.database.pool).await.map_err(self.database.error())?;
        let Some(ClockSample { now, session }) = sample else { return Ok(None) };
        Ok(Some(ClockSample { now, session: session ^ records::forgotten_mark(&self.database).await? }))
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        sweep::sweep(&self.database, &self.operations.sweep, limit).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_server_is_unavailable() {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(200))
            .connect_lazy("postgres://127.0.0.1:1/none")
            .unwrap();
        let store = PostgresStore::new(pool);
        assert!(matches!(store.migrate().await, Err(StoreError::Unavailable(_))));
        let outcome = store.reserve_or_fetch("alice", "k", [0; 32], SystemTime::now()).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
}
