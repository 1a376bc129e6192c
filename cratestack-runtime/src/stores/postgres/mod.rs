mod alone;
mod batch;
mod check;
mod connection;
mod database;
mod migrate;
mod moment;
mod prepared;
mod session;
mod sql;
mod transaction;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cratestack_schema::{Dialect, Report, TableName};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use self::batch::Batches;
use self::connection::PriorityPool;
use self::moment::Moment;
use self::session::ServerSession;
use self::sql::Statements;
use self::watch::{Watcher, class_of, lock_of};
use super::refusal::{Refusal, store_error};
use super::renewal::{Renewal, until_in_time};
use super::row::{Row, Tick, attempt, recordable, remaining, within};
use crate::{
    Claim, ClaimOutcome, ClockSample, Completion, IdempotencyStore, LeaseState, ReservationOutcome, StoreError, Watch,
};

/// Keeps reservations and outcomes in a table of a Postgres database: the store for a fleet.
///
/// Every method is one statement outside any transaction (`migrate` is one transaction), so dropping a future leaves
/// nothing half-done. All times are the database's.
///
/// Where many requests come at once, their calls share statements and commits; see [`group_commit`](Self::group_commit).
///
/// A store and its clones may have these connections beside the pool's `max_connections`:
///
/// - One by which renewals, outcomes and releases go where the pool has none for fifty milliseconds, because handlers may hold
///   all of it. It has the pool's own options and hooks, and is closed with the pool or after a minute without use.
/// - One that listens while duplicates wait for a run of another process, closed after a minute without use.
/// - One that shows whether the server is still the one that it was, for
///   [`Idempotency::replay_cache_bytes`](crate::Idempotency::replay_cache_bytes).
/// - One for each transaction that is ended from outside, while that lasts.
///
/// The table must be there first: call [`migrate`](Self::migrate) when the program starts, or apply what
/// `cratestack-schema ddl` prints.
///
/// Principals and keys are stored whole; Postgres bounds what its primary key holds, to about 2,700 bytes for the two
/// together. A longer one is refused with an error, as is one that contains a NUL character.
///
/// By default sqlx pings a connection each time it is taken from the pool, a round trip as long as a reservation's own;
/// `PgPoolOptions::test_before_acquire(false)` saves it.
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
    pool: PgPool,
    /// For what ends or renews a reservation.
    priority: PriorityPool,
    sql: Arc<Statements>,
    watcher: Arc<Watcher>,
    /// `None` where group commit is off.
    batches: Option<Arc<Batches>>,
    session: Arc<ServerSession>,
}

const TICK: Tick = Tick::Microsecond;

/// How often `reserve` looks before it answers that another request is running, which is then all but certain: each
/// look that finds nothing was overtaken by somebody else's reservation.
const LOOKS: u32 = 5;

impl PostgresStore {
    /// A store over `pool`. Does not connect.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::PgPool) {
    /// let store = cratestack_runtime::PostgresStore::new(pool);
    /// # }
    /// ```
    pub fn new(pool: PgPool) -> Self {
        Self::with_table(pool, TableName::default())
    }

    /// A store over `pool` whose table has a name of the user's. Does not connect.
    ///
    /// ```no_run
    /// use cratestack_runtime::schema::TableName;
    /// use cratestack_runtime::PostgresStore;
    ///
    /// # fn make(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = PostgresStore::with_table(pool, TableName::new(Some("payments"), "Idempotency Keys")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_table(pool: PgPool, table: TableName) -> Self {
        let priority = PriorityPool::new(pool.clone());
        let batches = Some(Arc::new(Batches::new(&pool, &priority, &table)));
        let (sql, watcher, session) = (Arc::new(Statements::new(table)), Arc::default(), Arc::default());
        Self { pool, priority, sql, watcher, batches, session }
    }

    /// Whether calls that arrive while a statement is on its way share the next one, and its commit. Default: they do.
    ///
    /// A call that finds no statement on its way is made at once, by itself: there is no timer, and a service with little
    /// to do notices nothing. With many requests at once this is several times the throughput, on few connections.
    /// Each caller gets its own answer, whatever becomes of those beside it: where one row makes the database refuse a
    /// statement, or is locked by somebody for a quarter of a second, every call of that statement is made by itself.
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
        self.batches = on.then(|| Arc::new(Batches::new(&self.pool, &self.priority, &self.sql.name)));
        self
    }

    /// Creates the table, or upgrades one of an older version in place.
    ///
    /// Safe to call from every process of a fleet at once, and while others use the table: an upgrade adds nullable
    /// columns, and takes the table's lock only if there is something to add. A table that was named without a
    /// schema is looked for along the `search_path`; a new one is created in its first schema. A schema is not created.
    ///
    /// Traffic queues behind whoever waits for the table's lock, so the upgrade waits a quarter of a second (or the
    /// connection's own `lock_timeout`), lets the queue drain, and tries again for twenty seconds. A plain table that has
    /// lost its index gets it back while others write; one process of the fleet waits for that, if its role owns the
    /// table.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or refuses, when the lock cannot be had, or when a table of this name is there
    /// that is not ours.
    ///
    /// ```no_run
    /// # async fn start(store: cratestack_runtime::PostgresStore) -> Result<(), cratestack_runtime::StoreError> {
    /// store.migrate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.pool, &self.sql.name).await
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
        check::check(&self.pool, &self.sql.name).await
    }
}

// `fetch_optional` and `execute` of sqlx's Postgres driver read on until the server is ready for the next statement.
// That is what tells that the implicit transaction has committed, so an answer that is given here is durable.
#[async_trait]
impl IdempotencyStore for PostgresStore {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        let retention = remaining(expires_at);
        let claim = Claim { principal, key, request_hash, lease: retention, retention };
        self.reserve(claim).await.map(ReservationOutcome::from)
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
        refuse_nul(principal, key)?;
        let alone = self.release_alone(principal, key, token);
        match &self.batches {
            Some(batches) => batches.release((principal, key), token, alone).await,
            None => alone.await,
        }
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        refuse_nul(claim.principal, claim.key)?;
        let alone = self.reserve_alone(claim);
        match &self.batches {
            Some(batches) => batches.reserve(claim, alone).await,
            None => alone.await,
        }
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        refuse_nul(principal, key)?;
        let ticks = (TICK.count(lease), TICK.count(retention));
        until_in_time(lease, || async {
            let alone = self.renew_alone(principal, key, token, ticks);
            match &self.batches {
                Some(batches) => batches.renew((principal, key), token, ticks, alone).await,
                None => alone.await,
            }
        })
        .await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        let Completion { principal, key, token, .. } = completion;
        if self.record(completion).await? {
            return Ok(LeaseState::Held);
        }
        // The row is not in flight under this token. If it bears the token all the same, an earlier call recorded it
        // whose answer was lost.
        let mut connection = self.priority.acquire().await.map_err(refused(&self.sql.name))?;
        let finished = sqlx::query(self.sql.finished.clone())
            .bind(principal)
            .bind(key)
            .bind(token)
            .fetch_optional(&mut *connection)
            .await
            .map_err(refused(&self.sql.name))?;
        Ok(if finished.is_some() { LeaseState::Held } else { LeaseState::Lost })
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        let table = self.sql.name.table();
        Ok(self.watcher.watch(&self.pool, class_of(table), lock_of(table, principal, key)).await)
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        self.session.sample(&self.pool).await.map_err(refused(&self.sql.name))
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        for _ in 0..LOOKS {
            match sqlx::query(self.sql.sweep.clone()).bind(i64::from(limit)).execute(&self.pool).await {
                // Where the default isolation is stricter than READ COMMITTED, a row that another sweeper has deleted
                // meanwhile is an error instead of no row.
                Err(error) if is_serialization_failure(&error) => {}
                swept => return swept.map(|swept| swept.rows_affected()).map_err(refused(&self.sql.name)),
            }
        }
        // Others are at it.
        Ok(0)
    }
}

impl PostgresStore {
    async fn record(&self, completion: Completion<'_>) -> Result<bool, StoreError> {
        refuse_nul(completion.principal, completion.key)?;
        recordable(completion.status)?;
        let alone = self.record_alone(completion);
        match &self.batches {
            Some(batches) => batches.finish(completion, alone).await,
            None => alone.await,
        }
    }
}

fn answer(
    row: &PgRow,
    token: Uuid,
    principal: &str,
    key: &str,
    request_hash: [u8; 32],
    table: &TableName,
) -> Result<ClaimOutcome, StoreError> {
    if let Some(count) = row.try_get::<Option<i32>, _>(0).map_err(refused(table))? {
        return Ok(ClaimOutcome::Reserved { token, attempt: attempt(Some(i64::from(count))) });
    }
    live_row(row, table)?.classify(principal, key, request_hash).map_err(within(table))
}

/// Reads for how long a lease lasts that was renewed by a statement that was sent at `sent`.
fn renewal(row: &PgRow, column: usize, sent: Instant) -> Result<Renewal, sqlx::Error> {
    let lasts: Option<i64> = row.try_get(column)?;
    Ok(lasts.map_or(Renewal::Held, |lasts| Renewal::of(TICK, lasts, sent.elapsed())))
}

/// Reads what the statements select of a live row, behind their first column.
fn live_row(row: &PgRow, table: &TableName) -> Result<Row, StoreError> {
    let moment = |column| row.try_get::<Moment, _>(column).map(|Moment(time)| time).map_err(refused(table));
    Ok(Row {
        request_hash: row.try_get(1).map_err(refused(table))?,
        status: row.try_get::<Option<i32>, _>(2).map_err(refused(table))?.map(i64::from),
        headers: row.try_get(3).map_err(refused(table))?,
        body: row.try_get(4).map_err(refused(table))?,
        created_at: moment(5)?,
        expires_at: moment(6)?,
    })
}

/// Postgres text holds every character but this one. Found here, it costs its sender an error and nobody else a round
/// trip.
fn refuse_nul(principal: &str, key: &str) -> Result<(), StoreError> {
    for (what, text) in [("principal", principal), ("key", key)] {
        if text.contains('\0') {
            return Err(StoreError::Database(format!(
                "the {what} contains a NUL character, which Postgres text cannot hold"
            )));
        }
    }
    Ok(())
}

fn refused(table: &TableName) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        let judge = |error: &dyn DatabaseError| judge(error.code().as_deref().unwrap_or_default());
        store_error(Dialect::Postgres, table, judge, error)
    }
}

fn judge(sqlstate: &str) -> Refusal {
    match sqlstate {
        // undefined_table, undefined_column
        "42P01" | "42703" => Refusal::Schema,
        // Not the server's state but the moment's: a standby after a failover, a lock or a statement that took too
        // long, transactions in each other's way, one that was ended for its age or its idleness.
        "25006" | "25P03" | "25P04" | "55P03" | "57014" | "40001" | "40P01" => Refusal::Unavailable,
        // Connections, resources, shutdown.
        code if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P0") => Refusal::Unavailable,
        _ => Refusal::Database,
    }
}

fn is_serialization_failure(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "40001" || code == "40P01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_told_apart() {
        for code in ["08006", "53300", "57P01", "57P03", "25006", "25P03", "25P04", "55P03"] {
            assert_eq!(judge(code), Refusal::Unavailable, "{code}");
        }
        for code in ["42P01", "42703"] {
            assert_eq!(judge(code), Refusal::Schema, "{code}");
        }
        for code in ["", "22021", "42501", "54000"] {
            assert_eq!(judge(code), Refusal::Database, "{code}");
        }
    }

    #[test]
    fn a_nul_is_refused_without_being_told() {
        assert_eq!(refuse_nul("alice", "k"), Ok(()));
        for (principal, key, what) in [("ali\0ce", "k", "principal"), ("alice", "\0k", "key")] {
            let Err(StoreError::Database(text)) = refuse_nul(principal, key) else { panic!() };
            assert!(text.starts_with(&format!("the {what} contains")) && !text.contains("ali"), "{text}");
        }
    }

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
