mod batch;
mod check;
mod database;
mod migrate;
mod pace;
mod sql;
#[cfg(test)]
mod tests;
mod transaction;
mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cratestack_schema::{Dialect, Report, TableName};
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqlitePool};
use uuid::Uuid;

use self::batch::Batches;
use self::sql::{Names, Statement, Statements};
use self::turn::Turn;
use super::refusal::{Refusal, store_error};
use super::renewal::{Renewal, until_in_time};
use super::row::{Row, Tick, attempt, recordable, remaining, within};
use crate::{
    Claim, ClaimOutcome, ClockSample, Completion, IdempotencyStore, LeaseState, ReservationOutcome, StoreError,
};

/// Keeps reservations and outcomes in a table of an SQLite database: the store for one machine, a file and no server.
///
/// Several processes may share the file, in any journal mode; how long one waits for another's write is the
/// connection's `busy_timeout` (five seconds unless set otherwise). The writes of one store and its clones queue
/// among themselves: renewals, outcomes and releases before new reservations and transactions, in order otherwise. Every
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
    pool: SqlitePool,
    sql: Arc<Statements>,
    turn: Turn,
    /// `None` where group commit is off.
    batches: Option<Arc<Batches>>,
    /// One for the store's whole life: a file loses what was committed with the power or the operating system, and takes
    /// this process along. `None` where the database ends with its connections, as the process goes on without them.
    session: Option<u128>,
}

const TICK: Tick = Tick::Millisecond;

/// How often `reserve` looks before it answers that another request is running, which is then all but certain: each
/// look that finds nothing was overtaken by somebody else's reservation.
const LOOKS: u32 = 5;

impl SqliteStore {
    /// A store over `pool`. Does not connect.
    ///
    /// ```no_run
    /// # fn make(pool: sqlx::SqlitePool) {
    /// let store = cratestack_runtime::SqliteStore::new(pool);
    /// # }
    /// ```
    pub fn new(pool: SqlitePool) -> Self {
        Self::with_table(pool, TableName::default())
    }

    /// A store over `pool` whose table has a name of the user's. Does not connect.
    ///
    /// A schema is the name of an attached database: every connection of the pool must have attached it.
    ///
    /// ```no_run
    /// use cratestack_runtime::schema::TableName;
    /// use cratestack_runtime::SqliteStore;
    ///
    /// # fn make(pool: sqlx::SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::with_table(pool, TableName::new(None, "Idempotency Keys")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_table(pool: SqlitePool, table: TableName) -> Self {
        let sql = Arc::new(Statements::new(table));
        let has_file = !ends_with_its_connections(&pool.connect_options());
        let session = has_file.then(|| Uuid::new_v4().as_u128());
        Self { pool, sql, turn: Turn::default(), batches: None, session }.group_commit(has_file)
    }

    /// Whether calls that arrive while a write is on its way share the next commit. Default: they do, unless the database
    /// is in memory, or temporary (its file has no name).
    ///
    /// There it must stay off (turn it off where the table is in an attached database of this sort, which is not seen from
    /// here): after an error the connection of a shared commit may be closed, with which such a database is gone. A commit
    /// costs nothing there anyway.
    ///
    /// On a file a commit waits for the disk, and with many requests at once this is several times the throughput. A call that
    /// finds no write on its way is made at once, by itself: there is no timer, and a service with little to do notices
    /// nothing. Each caller gets its own answer once all is committed, whatever becomes of those beside it: where SQLite
    /// refuses one call, nothing of what it shared is committed, and every call of it is made by itself. Where somebody
    /// else has the database for longer than `busy_timeout`, all of them are told so. Transactions of handlers take turns
    /// with these commits, and writers elsewhere find the database free now and then: while commit follows commit there is
    /// a pause of a millisecond each few.
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
        self.batches = on.then(|| Arc::new(Batches::new(&self.pool, &self.sql, &self.turn)));
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
        let _turn = self.turn.take().await;
        migrate::migrate(&self.pool, &self.sql.name).await
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
        check::check(&self.pool, &self.sql.name).await
    }

    /// Somebody's outcome or reservation that is live.
    async fn look(&self, claim: &Claim<'_>) -> Result<Option<ClaimOutcome>, StoreError> {
        let Claim { principal, key, request_hash, .. } = *claim;
        let table = &self.sql.name;
        let live =
            self.sql.live((principal, key), &request_hash).fetch_optional(&self.pool).await.map_err(refused(table))?;
        live.map(|row| read(&row, table)?.classify(principal, key, request_hash).map_err(within(table))).transpose()
    }

    /// `None` where somebody else has been quicker.
    async fn claim_alone(&self, claim: &Claim<'_>) -> Result<Option<ClaimOutcome>, StoreError> {
        let Claim { principal, key, request_hash, lease, retention } = claim;
        let token = Uuid::new_v4();
        let times = TICK.claim(*lease, *retention);
        let _turn = self.turn.take().await;
        let claimed = self.sql.claim((principal, key), request_hash, token, times).fetch_all(&self.pool).await;
        reserved(&claimed.map_err(refused(&self.sql.name))?, token).map_err(refused(&self.sql.name))
    }

    /// Whether the statement, which waits for its turn, has found its row.
    async fn write_alone(&self, statement: Statement) -> Result<bool, StoreError> {
        let _turn = self.turn.take_first().await;
        let written = statement.execute(&self.pool).await.map_err(refused(&self.sql.name))?;
        Ok(written.rows_affected() > 0)
    }

    async fn release_alone(&self, names: Names<'_>, token: Uuid) -> Result<bool, StoreError> {
        let refused = || refused(&self.sql.name);
        let _turn = self.turn.take_first().await;
        let released = self.sql.release(names, token).execute(&self.pool).await.map_err(refused())?;
        if released.rows_affected() > 0 {
            return Ok(true);
        }
        // Mostly it is gone, and to look costs no commit.
        if self.sql.of_token(names, token).fetch_optional(&self.pool).await.map_err(refused())?.is_none() {
            return Ok(false);
        }
        let lapsed = self.sql.lapse(names, token).execute(&self.pool).await.map_err(refused())?;
        Ok(lapsed.rows_affected() > 0)
    }

    async fn renew_alone(&self, names: Names<'_>, token: Uuid, times: (i64, i64)) -> Result<Renewal, StoreError> {
        let table = &self.sql.name;
        let _turn = self.turn.take_first().await;
        let mut connection = self.pool.acquire().await.map_err(refused(table))?;
        let sent = Instant::now();
        let renewed = self.sql.renew(names, token, times).fetch_all(&mut *connection).await.map_err(refused(table))?;
        Ok(renewal(lasting(&renewed).map_err(refused(table))?, sent))
    }

    async fn record(&self, completion: Completion<'_>) -> Result<bool, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        recordable(status)?;
        // Made late, as it copies the body.
        let alone = async { self.write_alone(self.sql.finish((principal, key), token, status, headers, body)).await };
        match &self.batches {
            Some(batches) => batches.finish(completion, alone).await,
            None => alone.await,
        }
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
        let names = (principal, key);
        let alone = self.release_alone(names, token);
        match &self.batches {
            Some(batches) => batches.release((principal, key), token, alone).await.map(drop),
            None => alone.await.map(drop),
        }
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        for _ in 0..LOOKS {
            // Before anything waits for its turn: a replay needs none.
            if let Some(outcome) = self.look(&claim).await? {
                return Ok(outcome);
            }
            let alone = self.claim_alone(&claim);
            let outcome = match &self.batches {
                Some(batches) => batches.claim(&claim, alone).await?,
                None => alone.await?,
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
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
        let times = (TICK.count(lease), TICK.count(retention));
        until_in_time(lease, || async {
            let alone = self.renew_alone((principal, key), token, times);
            match &self.batches {
                Some(batches) => batches.renew((principal, key), token, times, alone).await,
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
        let finished = self.sql.of_token((principal, key), token).fetch_optional(&self.pool).await;
        let finished = finished.map_err(refused(&self.sql.name))?;
        Ok(if finished.is_some() { LeaseState::Held } else { LeaseState::Lost })
    }

    /// Answers without a connection: SQLite's clock is this machine's, and a pool may have none to spare.
    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        Ok(self.session.map(|session| ClockSample { now: SystemTime::now(), session }))
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let _turn = self.turn.take().await;
        let swept = sqlx::query(self.sql.sweep.clone())
            .bind(i64::from(limit))
            .execute(&self.pool)
            .await
            .map_err(refused(&self.sql.name))?;
        Ok(swept.rows_affected())
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

/// What a claim has returned: a row, where the key is the caller's.
fn reserved(rows: &[SqliteRow], token: Uuid) -> Result<Option<ClaimOutcome>, sqlx::Error> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(ClaimOutcome::Reserved { token, attempt: attempt(row.try_get(0)?) }))
}

/// What a renewal has returned: for how long its lease lasts, where the reservation is still there.
fn lasting(rows: &[SqliteRow]) -> Result<Option<i64>, sqlx::Error> {
    rows.first().map(|row| row.try_get(0)).transpose()
}

/// Of a renewal that was sent at `sent` and is committed now.
fn renewal(lasts: Option<i64>, sent: Instant) -> Renewal {
    lasts.map_or(Renewal::Lost, |lasts| Renewal::of(TICK, lasts, sent.elapsed()))
}

fn read(row: &SqliteRow, table: &TableName) -> Result<Row, StoreError> {
    Ok(Row {
        request_hash: row.try_get(0).map_err(refused(table))?,
        status: row.try_get(1).map_err(refused(table))?,
        headers: row.try_get(2).map_err(refused(table))?,
        body: row.try_get(3).map_err(refused(table))?,
        created_at: TICK.moment(row.try_get(4).map_err(refused(table))?).map_err(within(table))?,
        expires_at: TICK.moment(row.try_get(5).map_err(refused(table))?).map_err(within(table))?,
    })
}

fn refused(table: &TableName) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| store_error(Dialect::Sqlite, table, judge, error)
}

fn judge(error: &dyn DatabaseError) -> Refusal {
    let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
    // The low byte is the primary result code.
    match code & 0xff {
        // BUSY, LOCKED, IOERR, FULL, CANTOPEN
        5 | 6 | 10 | 13 | 14 => Refusal::Unavailable,
        // ERROR: only the text tells what a statement stumbled over.
        1 if ["no such table", "no such column", "has no column named"]
            .iter()
            .any(|sign| error.message().contains(sign)) =>
        {
            Refusal::Schema
        }
        _ => Refusal::Database,
    }
}
