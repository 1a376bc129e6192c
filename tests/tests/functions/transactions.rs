//! `transaction`: what a function writes and its recorded result are one commit, or neither is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cratestack_runtime::{
    GuardError, Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, StepError, TransactionalDatabase,
    Tx, idempotent,
};
use cratestack_tests::TestDatabase;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Postgres, Sqlite};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// `thiserror` would derive it.
#[derive(Debug)]
enum BookError {
    Guard(GuardError),
    Step(StepError),
    Database(sqlx::Error),
    Declined,
}

impl std::fmt::Display for BookError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for BookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Step(error) => Some(error),
            _ => None,
        }
    }
}

impl From<GuardError> for BookError {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

impl From<StepError> for BookError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl From<sqlx::Error> for BookError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

type Booked = Result<i64, BookError>;

/// What else a body does beside its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Nothing,
    Decline,
    Panic,
    Hold,
    /// Violates a constraint.
    Twice,
}

/// One process of a ledger.
struct Ledger<DB: TransactionalDatabase> {
    idempotency: Idempotency<DB::Store>,
    pool: sqlx::Pool<DB>,
    begun: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    runs: Arc<AtomicUsize>,
}

impl<DB: TransactionalDatabase> Clone for Ledger<DB> {
    fn clone(&self) -> Self {
        let Self { idempotency, pool, begun, gate, runs } = self;
        let (begun, gate, runs) = (Arc::clone(begun), Arc::clone(gate), Arc::clone(runs));
        Self { idempotency: idempotency.clone(), pool: pool.clone(), begun, gate, runs }
    }
}

impl<DB: TransactionalDatabase> Ledger<DB> {
    fn over(store: DB::Store, pool: sqlx::Pool<DB>) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        let idempotency = Idempotency::transactional(store);
        Self { idempotency, pool, begun: none(), gate: none(), runs: Arc::default() }
    }

    async fn act(&self, act: Act) -> Result<(), BookError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        match act {
            Act::Decline => Err(BookError::Declined),
            Act::Panic => panic!("told to panic"),
            Act::Hold => {
                self.begun.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Ok(())
            }
            Act::Nothing | Act::Twice => Ok(()),
        }
    }
}

/// A ledger, whichever its database: the tests below see no more of it.
trait Books: Clone + Send + Sync + 'static {
    /// By the function that owns its ledger, or by the one that borrows it.
    fn call(&self, is_borrowed: bool, id: i64, act: Act) -> impl Future<Output = Booked> + Send;
    /// The same, with a deadline of 400 ms.
    fn call_in_a_hurry(&self, is_borrowed: bool, id: i64, act: Act) -> impl Future<Output = Booked> + Send;
    fn call_in_steps(&self, id: i64, act: Act) -> impl Future<Output = Booked> + Send;
    fn entries(&self) -> impl Future<Output = i64> + Send;
    fn has_begun(&self) -> impl Future<Output = ()> + Send;
    fn let_go(&self);
    fn runs(&self) -> usize;
    fn idle(&self) -> impl Future<Output = usize> + Send;
}

/// The functions of a ledger in this database, and each test over two processes of it.
macro_rules! over {
    ($module:ident, $DB:ty, $open:expr, [$($test:ident),* $(,)?]) => {
        mod $module {
            use super::*;

            type Over = Ledger<$DB>;

            const INSERT: &str = "INSERT INTO entries (id, amount) VALUES ($1, 100)";

            #[idempotent(handle = ledger.idempotency, name = "book", key = id, transaction, wait = "20s")]
            pub async fn owned(ledger: Over, mut tx: Tx<$DB>, id: i64, act: Act) -> Booked {
                sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                ledger.act(act).await?;
                if act == Act::Twice {
                    sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                }
                Ok(id)
            }

            #[idempotent(handle = &ledger.idempotency, name = "book", key = id, transaction, wait = "20s")]
            pub async fn borrowed(
                ledger: &Over,
                id: i64,
                act: Act,
                reservation: Reservation<InTransaction>,
                mut tx: Tx<$DB>,
            ) -> Booked {
                assert_eq!(reservation.attempt(), 1);
                sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                ledger.act(act).await?;
                if act == Act::Twice {
                    sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                }
                Ok(id)
            }

            #[idempotent(handle = ledger.idempotency, name = "book", key = id, transaction, lease = "400ms")]
            pub async fn in_a_hurry(ledger: Over, mut tx: Tx<$DB>, id: i64, act: Act) -> Booked {
                sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                ledger.act(act).await?;
                Ok(id)
            }

            #[idempotent(handle = ledger.idempotency, name = "book", key = id, transaction, lease = "400ms")]
            pub async fn in_a_hurry_here(ledger: &Over, mut tx: Tx<$DB>, id: i64, act: Act) -> Booked {
                sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
                ledger.act(act).await?;
                Ok(id)
            }

            /// A run of a call, a transaction, and what may follow.
            #[idempotent(handle = ledger.idempotency, name = "steps", key = id)]
            pub async fn in_steps(ledger: &Over, id: i64, act: Act, reservation: Reservation<$DB>) -> Booked {
                let amount = reservation.step("price", async || Ok::<_, BookError>(100)).await?;
                let booked = reservation.transaction("book", async |tx: &mut Tx<$DB>| {
                    sqlx::query(INSERT).bind(id).execute(&mut **tx).await?;
                    Ok::<_, BookError>(amount)
                });
                let booked = booked.await?;
                ledger.act(act).await?;
                Ok(booked)
            }

            impl Books for Over {
                async fn call(&self, is_borrowed: bool, id: i64, act: Act) -> Booked {
                    if is_borrowed { borrowed(self, id, act).await } else { owned(self.clone(), id, act).await }
                }

                async fn call_in_a_hurry(&self, is_borrowed: bool, id: i64, act: Act) -> Booked {
                    if is_borrowed {
                        in_a_hurry_here(self, id, act).await
                    } else {
                        in_a_hurry(self.clone(), id, act).await
                    }
                }

                async fn call_in_steps(&self, id: i64, act: Act) -> Booked {
                    in_steps(self, id, act).await
                }

                async fn entries(&self) -> i64 {
                    sqlx::query_scalar("SELECT COUNT(*) FROM entries").fetch_one(&self.pool).await.unwrap()
                }

                async fn has_begun(&self) {
                    self.begun.acquire().await.unwrap().forget();
                }

                fn let_go(&self) {
                    self.gate.add_permits(1);
                }

                fn runs(&self) -> usize {
                    self.runs.load(Ordering::SeqCst)
                }

                async fn idle(&self) -> usize {
                    self.idempotency.shutdown(Duration::from_secs(20)).await
                }
            }

            pub async fn open() -> (Over, Over, Box<dyn std::any::Any + Send>) {
                let (pool, other, kept) = $open.await;
                let one = Ledger::over(<$DB as OverPool>::store(&pool), pool.clone());
                let other = Over { pool: other.clone(), ..Ledger::over(<$DB as OverPool>::store(&other), other) };
                let other = Over { runs: Arc::clone(&one.runs), gate: Arc::clone(&one.gate), begun: Arc::clone(&one.begun), ..other };
                sqlx::raw_sql("CREATE TABLE entries (id BIGINT PRIMARY KEY, amount BIGINT)").execute(&pool).await.unwrap();
                (one, other, kept)
            }

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let (one, other, _kept) = open().await;
                    super::$test(one, other).await;
                }
            )*
        }
    };
}

trait OverPool: TransactionalDatabase {
    fn store(pool: &sqlx::Pool<Self>) -> Self::Store;
}

impl OverPool for Postgres {
    fn store(pool: &PgPool) -> PostgresStore {
        PostgresStore::new(pool.clone())
    }
}

impl OverPool for Sqlite {
    fn store(pool: &SqlitePool) -> SqliteStore {
        SqliteStore::new(pool.clone())
    }
}

type Kept = Box<dyn std::any::Any + Send>;

async fn postgres_pools() -> (PgPool, PgPool, Kept) {
    let database = TestDatabase::create().await;
    let open = async || PgPoolOptions::new().max_connections(6).connect(database.url()).await.unwrap();
    let (one, other) = (open().await, open().await);
    PostgresStore::new(one.clone()).migrate().await.unwrap();
    (one, other, Box::new(database))
}

async fn sqlite_pools() -> (SqlitePool, SqlitePool, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sqlite_pool(folder.path()).await, sqlite_pool(folder.path()).await);
    SqliteStore::new(one.clone()).migrate().await.unwrap();
    (one, other, Box::new(folder))
}

async fn sqlite_pool(folder: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("ledger.db"))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(20))
        .journal_mode(SqliteJournalMode::Wal);
    SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

over!(
    postgres,
    Postgres,
    postgres_pools(),
    [
        the_effect_and_its_record_are_one,
        of_many_calls_each_key_is_booked_once,
        an_error_undoes_its_writes_and_frees_the_key,
        a_panic_undoes_its_writes_and_frees_the_key,
        a_run_past_its_deadline_is_undone,
        a_caller_that_goes_away_undoes_what_borrows_and_nothing_else,
        steps_that_are_transactions_are_done_once,
    ]
);

over!(
    sqlite,
    Sqlite,
    sqlite_pools(),
    [
        the_effect_and_its_record_are_one,
        of_many_calls_each_key_is_booked_once,
        an_error_undoes_its_writes_and_frees_the_key,
        a_panic_undoes_its_writes_and_frees_the_key,
        a_run_past_its_deadline_is_undone,
        a_caller_that_goes_away_undoes_what_borrows_and_nothing_else,
        steps_that_are_transactions_are_done_once,
    ]
);

async fn the_effect_and_its_record_are_one<B: Books>(one: B, other: B) {
    for (id, is_borrowed) in [(1, false), (2, true)] {
        for ledger in [&one, &other, &one] {
            assert_eq!(ledger.call(is_borrowed, id, Act::Nothing).await.unwrap(), id);
        }
    }
    assert_eq!((one.entries().await, one.runs()), (2, 2));
}

async fn of_many_calls_each_key_is_booked_once<B: Books>(one: B, other: B) {
    let mut callers = JoinSet::new();
    for caller in 0..16_usize {
        let ledger = if caller % 2 == 0 { one.clone() } else { other.clone() };
        callers.spawn(async move {
            for call in (caller..200).step_by(16) {
                let id = i64::try_from(call % 20).unwrap();
                assert_eq!(ledger.call(call % 3 == 0, id, Act::Nothing).await.unwrap(), id);
            }
        });
    }
    callers.join_all().await;
    assert_eq!((one.entries().await, one.runs()), (20, 20));
}

async fn an_error_undoes_its_writes_and_frees_the_key<B: Books>(one: B, other: B) {
    for (id, is_borrowed) in [(1, false), (2, true)] {
        let declined = one.call(is_borrowed, id, Act::Decline).await;
        assert!(matches!(declined, Err(BookError::Declined)), "{declined:?}");
        let violated = one.call(is_borrowed, id, Act::Twice).await;
        assert!(matches!(violated, Err(BookError::Database(_))), "{violated:?}");
        assert_eq!(one.entries().await, id - 1);
        assert_eq!(other.call(is_borrowed, id, Act::Nothing).await.unwrap(), id);
        assert_eq!(one.call(is_borrowed, id, Act::Decline).await.unwrap(), id);
        assert_eq!(one.entries().await, id);
    }
}

async fn a_panic_undoes_its_writes_and_frees_the_key<B: Books>(one: B, other: B) {
    for (id, is_borrowed) in [(1, false), (2, true)] {
        let panicked = one.call(is_borrowed, id, Act::Panic).await;
        assert!(matches!(panicked, Err(BookError::Guard(GuardError::Panicked { function: "book" }))), "{panicked:?}");
        assert_eq!(one.entries().await, id - 1);
        assert_eq!(other.call(is_borrowed, id, Act::Nothing).await.unwrap(), id);
    }
}

async fn a_run_past_its_deadline_is_undone<B: Books>(one: B, other: B) {
    for (id, is_borrowed) in [(1, false), (2, true)] {
        let late = one.call_in_a_hurry(is_borrowed, id, Act::Hold).await;
        assert!(matches!(late, Err(BookError::Guard(GuardError::TimedOut { function: "book" }))), "{late:?}");
        assert_eq!(one.entries().await, id - 1);
        assert_eq!(other.call(is_borrowed, id, Act::Nothing).await.unwrap(), id);
        one.has_begun().await;
    }
}

async fn a_caller_that_goes_away_undoes_what_borrows_and_nothing_else<B: Books>(one: B, other: B) {
    let begin_and_drop = async |is_borrowed, id| {
        tokio::select! {
            told = one.call(is_borrowed, id, Act::Hold) => panic!("{told:?}"),
            () = one.has_begun() => {}
        }
    };
    begin_and_drop(false, 1).await;
    one.let_go();
    assert_eq!(one.idle().await, 0);
    assert_eq!((other.call(true, 1, Act::Nothing).await.unwrap(), one.runs(), one.entries().await), (1, 1, 1));
    begin_and_drop(true, 2).await;
    assert_eq!(one.idle().await, 0);
    assert_eq!(one.entries().await, 1);
    assert_eq!((other.call(false, 2, Act::Nothing).await.unwrap(), one.runs(), one.entries().await), (2, 3, 2));
}

async fn steps_that_are_transactions_are_done_once<B: Books>(one: B, other: B) {
    let declined = one.call_in_steps(1, Act::Decline).await;
    assert!(matches!(declined, Err(BookError::Declined)), "{declined:?}");
    assert_eq!((one.entries().await, other.call_in_steps(1, Act::Nothing).await.unwrap()), (1, 100));
    assert_eq!((one.call_in_steps(1, Act::Decline).await.unwrap(), one.entries().await, one.runs()), (100, 1, 2));
}

/// A function that is undone because another was in its way runs again, with clones of its arguments.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_in_anothers_way_runs_again() {
    #[idempotent(handle = handle, name = "transfer", key = id, transaction, isolation = serializable, retry = 20)]
    async fn transfer(
        handle: &Idempotency<PostgresStore>,
        mut tx: Tx<Postgres>,
        id: usize,
        notes: Arc<Mutex<Vec<usize>>>,
        mut text: String,
    ) -> Result<i64, BookError> {
        assert_eq!(text, "clean");
        text.push_str(" and used");
        notes.lock().unwrap().push(id);
        let sum: i64 =
            sqlx::query_scalar("SELECT COALESCE(SUM(amount), 0)::BIGINT FROM entries").fetch_one(&mut *tx).await?;
        sqlx::query("INSERT INTO entries VALUES ($1)").bind(sum + 1).execute(&mut *tx).await?;
        Ok(sum + 1)
    }
    let (pool, _other, _kept) = postgres_pools().await;
    sqlx::raw_sql("CREATE TABLE entries (amount BIGINT)").execute(&pool).await.unwrap();
    let handle = Idempotency::transactional(PostgresStore::new(pool.clone()));
    let notes = Arc::default();
    let mut transfers = JoinSet::new();
    for id in 0..6 {
        let (handle, notes) = (handle.clone(), Arc::clone(&notes));
        transfers.spawn(async move { transfer(&handle, id, notes, "clean".to_owned()).await.unwrap() });
    }
    let mut sums = transfers.join_all().await;
    sums.sort_unstable();
    // Each has seen all that were before it: 1, 1 + 1, 1 + 1 + 2, …
    assert_eq!(sums, [1, 2, 4, 8, 16, 32]);
    assert!(notes.lock().unwrap().len() >= 6);
}

/// What only the commit finds is told as the guard's error, and undone.
#[tokio::test]
async fn a_commit_that_is_refused_is_an_error() {
    #[idempotent(handle = handle, name = "refused", key = id, transaction)]
    async fn refused(handle: &Idempotency<PostgresStore>, id: i64, mut tx: Tx<Postgres>) -> Result<i64, BookError> {
        sqlx::query("INSERT INTO entries VALUES ($1), ($1)").bind(id).execute(&mut *tx).await?;
        Ok(id)
    }
    let (pool, _other, _kept) = postgres_pools().await;
    let table = "CREATE TABLE entries (id BIGINT UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    let handle = Idempotency::transactional(PostgresStore::new(pool.clone()));
    for _ in 0..2 {
        let told = refused(&handle, 7).await.unwrap_err();
        assert!(matches!(told, BookError::Guard(GuardError::Refused { function: "refused", .. })), "{told:?}");
    }
    let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM entries").fetch_one(&pool).await.unwrap();
    assert_eq!(entries, 0);
}

/// An error whose writes are kept is recorded with them.
#[tokio::test]
async fn an_error_may_keep_its_writes() {
    use serde::{Deserialize, Serialize};
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Text(String);
    impl From<GuardError> for Text {
        fn from(error: GuardError) -> Self {
            Self(error.to_string())
        }
    }
    #[idempotent(handle = handle, name = "attempt", key = id, transaction, record = all, commit = all)]
    async fn kept(handle: &Idempotency<SqliteStore>, id: i64, mut tx: Tx<Sqlite>) -> Result<i64, Text> {
        sqlx::query("INSERT INTO entries VALUES ($1)")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(|e| Text(e.to_string()))?;
        Err(Text("declined".to_owned()))
    }
    #[idempotent(handle = handle, name = "undone", key = id, transaction, record = all)]
    async fn undone(handle: &Idempotency<SqliteStore>, id: i64, mut tx: Tx<Sqlite>) -> Result<i64, Text> {
        sqlx::query("INSERT INTO entries VALUES ($1)")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(|e| Text(e.to_string()))?;
        Err(Text("declined".to_owned()))
    }
    let (pool, _other, _kept) = sqlite_pools().await;
    sqlx::raw_sql("CREATE TABLE entries (id BIGINT)").execute(&pool).await.unwrap();
    let handle = Idempotency::transactional(SqliteStore::new(pool.clone()));
    for _ in 0..2 {
        assert_eq!(kept(&handle, 1).await, Err(Text("declined".to_owned())));
        assert_eq!(undone(&handle, 2).await, Err(Text("declined".to_owned())));
    }
    let entries: Vec<i64> = sqlx::query_scalar("SELECT id FROM entries").fetch_all(&pool).await.unwrap();
    assert_eq!(entries, [1]);
}

/// Generic over the database.
#[tokio::test]
async fn a_function_may_be_generic_over_its_database() {
    #[idempotent(handle = handle, name = "generic", key = id, transaction)]
    async fn touched<DB: TransactionalDatabase>(
        handle: &Idempotency<DB::Store>,
        id: i64,
        tx: Tx<DB>,
    ) -> Result<i64, GuardError> {
        drop(tx);
        Ok(id)
    }
    let (pool, _other, _kept) = sqlite_pools().await;
    let handle = Idempotency::transactional(SqliteStore::new(pool));
    assert_eq!((touched::<Sqlite>(&handle, 7).await.unwrap(), touched::<Sqlite>(&handle, 7).await.unwrap()), (7, 7));
}
