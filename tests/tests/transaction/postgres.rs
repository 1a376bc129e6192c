//! What only Postgres has: several processes, sessions that die, transactions in each other's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post as on_post;
use cratestack_runtime::{Idempotency, InTransaction, PostgresStore, Reservation, Tx, idempotent};
use cratestack_tests::TestDatabase;
use cratestack_tests::postgres::{PostgresOptions, RoundTrips};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use tokio::task::JoinSet;

use crate::bank::{ALICE, Answer, Bank, Failed, Signs, eventually, on_postgres, post};

type PgBank = Bank<PostgresStore, Postgres>;

async fn pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new().max_connections(connections).connect(url).await.unwrap()
}

/// One more process of the fleet on that database.
async fn process(url: &str, connections: u32) -> PgBank {
    let pool = pool(url, connections).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    on_postgres::open(pool, store).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_processes_one_pays() {
    let database = TestDatabase::create().await;
    let mut fleet = Vec::new();
    for _ in 0..4 {
        fleet.push(process(database.url(), 4).await);
    }
    let mut requests = JoinSet::new();
    for key in 0..50 {
        for bank in &fleet {
            for _ in 0..3 {
                let router = bank.router.clone();
                requests.spawn(async move { (key, post(&router, "/pay", Some(&key.to_string()), "100").await) });
            }
        }
    }
    while let Some(answered) = requests.join_next().await {
        let (key, answer) = answered.unwrap();
        assert!(matches!(answer.status, StatusCode::CREATED | StatusCode::CONFLICT), "{key}: {answer:?}");
    }
    assert_eq!(fleet[0].payments().await, 50);
    assert_eq!(fleet.iter().map(|bank| bank.signs.runs()).sum::<usize>(), 50);
    for key in 0..50 {
        let mut bodies = Vec::new();
        for bank in [&fleet[0], &fleet[3]] {
            let answer = bank.post("/pay", &key.to_string()).await;
            assert!(answer.is_replay());
            bodies.push(answer.body);
        }
        assert_eq!(bodies[0], bodies[1]);
    }
}

/// No backend may stand in line: the duplicates of another process ask, are told, and are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_duplicate_elsewhere_is_told_at_once_and_blocks_nobody() {
    let database = TestDatabase::create().await;
    let (one, other) = (process(database.url(), 2).await, process(database.url(), 2).await);
    let running = one.hold("/pay", "k").await;
    for _ in 0..20 {
        let duplicate = other.post("/pay?hold=true", "k").await;
        assert_eq!(duplicate.code(), "idempotency_request_in_flight");
    }
    let router = other.router.clone();
    let waiting = tokio::spawn(async move { post(&router, "/patient?hold=true", Some("w"), "100").await });
    other.signs.waiting.notified().await;
    let router = one.router.clone();
    let waiter = tokio::spawn(async move { post(&router, "/patient?hold=true", Some("w"), "100").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waits = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eq!(sqlx::query_scalar::<_, i64>(waits).fetch_one(&one.pool).await.unwrap(), 0);
    // The waiter holds no connection of its pool either: one of two is the running request's.
    eventually("only the running request holds a connection", async || {
        one.pool.size() as usize - one.pool.num_idle() == 1
    })
    .await;
    one.signs.gate.notify_one();
    other.signs.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    assert!(waiter.await.unwrap().is_replay());
    assert!(!waiting.await.unwrap().is_replay());
    assert_eq!(one.payments().await, 2);
}

/// The same key in both modes, as while a fleet is being updated from one to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reservations_and_transactions_share_their_keys() {
    let database = TestDatabase::create().await;
    let (url, rounds) = (database.url(), 40);
    let in_reservation = mixed(url, false).await;
    let in_transaction = mixed(url, true).await;
    let mut requests = JoinSet::new();
    for key in 0..rounds {
        for router in [&in_reservation, &in_transaction, &in_reservation, &in_transaction] {
            let router = router.clone();
            requests.spawn(async move { (key, post(&router, "/pay", Some(&key.to_string()), "100").await) });
        }
    }
    let mut seen: std::collections::HashMap<i32, Answer> = std::collections::HashMap::new();
    while let Some(answered) = requests.join_next().await {
        let (key, answer) = answered.unwrap();
        if answer.status == StatusCode::CREATED {
            let first = seen.entry(key).or_insert_with(|| answer.clone());
            assert_eq!(first.body, answer.body);
        } else {
            assert_eq!(answer.code(), "idempotency_request_in_flight");
        }
    }
    let pool = pool(url, 1).await;
    for key in 0..rounds {
        let paid: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments WHERE key = $1")
            .bind(key.to_string())
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(paid, 1, "{key}");
        for router in [&in_reservation, &in_transaction] {
            let again = post(router, "/pay", Some(&key.to_string()), "100").await;
            assert!(again.is_replay());
            if let Some(first) = seen.get(&key) {
                assert_eq!(first.body, again.body);
            }
        }
    }
}

#[derive(Clone, FromRef)]
struct Mixed {
    transactions: Idempotency<PostgresStore>,
    reservations: Idempotency,
    pool: PgPool,
}

/// A service that has `/pay` in one mode or the other. Each payment takes a while, so that the modes meet.
async fn mixed(url: &str, transaction: bool) -> Router {
    #[idempotent(transaction)]
    async fn transacted(reservation: Reservation<InTransaction>, mut tx: Tx<Postgres>, _: String) -> Response {
        let insert = sqlx::query("INSERT INTO payments (key) VALUES ($1)").bind(reservation.key().to_owned());
        insert.execute(&mut *tx).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        (StatusCode::CREATED, reservation.token().to_string()).into_response()
    }
    #[idempotent]
    async fn reserved(reservation: Reservation, State(pool): State<PgPool>, _: String) -> (StatusCode, String) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let insert = sqlx::query("INSERT INTO payments (key) VALUES ($1)").bind(reservation.key().to_owned());
        insert.execute(&pool).await.unwrap();
        (StatusCode::CREATED, reservation.token().to_string())
    }
    let pool = pool(url, 8).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let table =
        "SELECT pg_advisory_lock(1); CREATE TABLE IF NOT EXISTS payments (key TEXT); SELECT pg_advisory_unlock(1)";
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    let transactions = Idempotency::transactional(store);
    let state = Mixed { reservations: transactions.clone().into(), transactions, pool };
    let handler = if transaction { on_post(transacted) } else { on_post(reserved) };
    Router::new().route("/pay", handler).with_state(state)
}

/// A row that an operator keeps forever, and one that has just expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_infinite_row_is_replayed_and_an_expired_one_is_not() {
    let database = TestDatabase::create().await;
    let bank = process(database.url(), 4).await;
    let first = bank.post("/pay", "k").await;
    for (expiry, paid) in [("infinity", 1), ("-infinity", 2)] {
        let update = format!("UPDATE cratestack_idempotency SET created_at = '-infinity', expires_at = '{expiry}'");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(&bank.pool).await.unwrap();
        // Another process, which has not seen the outcome.
        let answer = process(database.url(), 4).await.post("/pay", "k").await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, paid == 1), "{expiry}");
        assert!(paid == 2 || answer.body == first.body);
        assert_eq!(bank.payments().await, paid);
    }
    let attempt: i32 =
        sqlx::query_scalar("SELECT attempt FROM cratestack_idempotency").fetch_one(&bank.pool).await.unwrap();
    assert_eq!(attempt, 1, "an attempt from before the expiry does not count");
}

/// A transaction finds a live reservation and leaves it alone; a dead one it replaces, and its holder can record no
/// more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_reservation_is_taken_over_by_a_transaction() {
    use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, hash_request};
    let database = TestDatabase::create().await;
    let bank = process(database.url(), 4).await;
    // The principal as the guard has it: what a first request leaves in the table.
    bank.post("/pay", "first").await;
    let principal: String = sqlx::query_scalar("SELECT principal_fingerprint FROM cratestack_idempotency")
        .fetch_one(&bank.pool)
        .await
        .unwrap();
    let claim = Claim {
        principal: &principal,
        key: "k",
        request_hash: hash_request(&Method::POST, "/pay", None, b"100"),
        lease: Duration::from_secs(60),
        retention: Duration::from_secs(600),
    };
    let Ok(ClaimOutcome::Reserved { token, attempt: 1 }) = bank.store.reserve(claim).await else { panic!() };
    assert_eq!(bank.post("/pay", "k").await.code(), "idempotency_request_in_flight");
    let age = "UPDATE cratestack_idempotency SET created_at = created_at - INTERVAL '2 minutes', \
               lease_expires_at = lease_expires_at - INTERVAL '2 minutes' WHERE key = 'k'";
    sqlx::query(age).execute(&bank.pool).await.unwrap();
    let paid = bank.post("/pay", "k").await;
    assert_eq!(paid.status, StatusCode::CREATED);
    let body = bytes::Bytes::from_static(b"stale");
    let completion = Completion { principal: &principal, key: "k", token, status: 200, headers: &[], body: &body };
    assert_eq!(bank.store.finish(completion).await, Ok(LeaseState::Lost));
    assert_eq!(bank.post("/pay", "k").await.body, paid.body);
    let attempt: i32 = sqlx::query_scalar("SELECT attempt FROM cratestack_idempotency WHERE key = 'k'")
        .fetch_one(&bank.pool)
        .await
        .unwrap();
    assert_eq!((attempt, bank.payments().await), (2, 2));
}

/// What a reservation that died while the transaction ran has done is not known, so the transaction must not be another
/// run of the same request.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reservation_that_died_meanwhile_undoes_the_transaction() {
    use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, hash_request};
    let database = TestDatabase::create().await;
    let bank = process(database.url(), 4).await;
    let running = bank.hold("/pay", "k").await;
    let claim = Claim {
        principal: ALICE,
        key: "k",
        request_hash: hash_request(&Method::POST, "/pay?hold=true", None, b"100"),
        lease: Duration::from_millis(1),
        retention: Duration::from_secs(600),
    };
    let reserved = bank.store.reserve(claim).await;
    assert!(matches!(reserved, Ok(ClaimOutcome::Reserved { .. })), "{reserved:?}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    bank.signs.gate.notify_one();
    assert_eq!(running.await.unwrap().code(), "idempotency_request_in_flight");
    assert_eq!(bank.payments().await, 0);
    let again = bank.hold("/pay", "k").await;
    bank.signs.gate.notify_one();
    assert_eq!((again.await.unwrap().status, bank.payments().await), (StatusCode::CREATED, 1));
}

/// A process whose sessions die has its keys freed at once, and the writes of its handler are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_is_free_when_its_session_dies() {
    let database = TestDatabase::create().await;
    let (dying, other) = (process(database.url(), 2).await, process(database.url(), 2).await);
    let running = dying.hold("/pay", "k").await;
    assert_eq!(other.post("/pay?hold=true", "k").await.status, StatusCode::CONFLICT);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND state = 'idle in transaction'";
    sqlx::query(kill).fetch_all(&other.pool).await.unwrap();
    let router = other.router.clone();
    let retry = tokio::spawn(async move {
        loop {
            let answer = post(&router, "/pay?hold=true", Some("k"), "100").await;
            if answer.status != StatusCode::CONFLICT {
                return answer;
            }
        }
    });
    other.signs.waiting.notified().await;
    other.signs.gate.notify_one();
    assert_eq!(retry.await.unwrap().status, StatusCode::CREATED);
    // The first handler lives, and cannot commit.
    dying.signs.gate.notify_one();
    let late = running.await.unwrap();
    assert_eq!(late.code(), "idempotency_transaction_rolled_back");
    assert_eq!(other.payments().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn around_the_handlers_own_there_are_three_statements_and_a_commit() {
    use cratestack_runtime::IdempotencyStore as _;
    let database = TestDatabase::create().await;
    let proxy = RoundTrips::before(database.url()).await;
    let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = options.connect(proxy.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    // The connection that shows the server's session is opened before anything is counted.
    store.now().await.unwrap();
    let bank = on_postgres::open(pool.clone(), store).await;
    for key in ["warm", "up"] {
        bank.post("/pay", key).await;
    }
    // A pool looks at a connection that comes back.
    let settled = async || {
        eventually("the connection is back", async || pool.num_idle() == 1).await;
        proxy.count()
    };
    let before = settled().await;
    drop(pool.acquire().await.unwrap());
    let ping = settled().await - before;
    let before = settled().await;
    bank.post("/pay", "counted").await;
    // Begin and claim, read; the handler's own; record; commit.
    assert_eq!(settled().await - before - ping, 3 + 1 + 1);
}

/// The test's own service: what collides needs tables of its own.
#[derive(Clone, FromRef)]
struct Accounts {
    idempotency: Idempotency<PostgresStore>,
    signs: Signs,
    meet: Arc<tokio::sync::Barrier>,
    door: Arc<AtomicBool>,
}

impl Accounts {
    fn new(idempotency: Idempotency<PostgresStore>) -> Self {
        Self {
            idempotency,
            signs: Signs::default(),
            meet: Arc::new(tokio::sync::Barrier::new(2)),
            door: Arc::default(),
        }
    }

    async fn over(database: &TestDatabase) -> (PgPool, Router) {
        let (pool, router, _) = Self::with_door(database).await;
        (pool, router)
    }

    /// The door is what the first run of `stuck` stands before.
    async fn with_door(database: &TestDatabase) -> (PgPool, Router, Arc<AtomicBool>) {
        let pool = pool(database.url(), 16).await;
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let tables = "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL);
            INSERT INTO accounts SELECT id, 1000 FROM generate_series(1, 2) AS id;
            CREATE TABLE entries (id INT REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED);
            CREATE TABLE told (id INT);
            CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO told VALUES (NEW.id); RETURN NEW; END $$;
            CREATE TRIGGER telling AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION tell()";
        sqlx::raw_sql(tables).execute(&pool).await.unwrap();
        let accounts = Self::new(Idempotency::transactional(store));
        let door = Arc::clone(&accounts.door);
        let router = Router::new()
            .route("/lock/{first}/{second}", on_post(lock))
            .route("/impatient/{first}/{second}", on_post(impatient))
            .route("/increment", on_post(increment))
            .route("/wordless/{first}/{second}", on_post(wordless))
            .route("/strangers", on_post(strangers))
            .route("/brief", on_post(brief))
            .route("/entry/{id}", on_post(entry))
            .route("/ignorant", on_post(ignorant))
            .route("/slow", on_post(slow))
            .route("/stuck", on_post(stuck))
            .route("/anew", on_post(anew))
            .with_state(accounts);
        (pool, router, door)
    }
}

const UPDATE: &str = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";

async fn both(tx: &mut Tx<Postgres>, accounts: &Accounts, first: i32, second: i32) -> Result<StatusCode, Failed> {
    let run = accounts.signs.runs.fetch_add(1, Ordering::SeqCst);
    sqlx::query(UPDATE).bind(first).execute(&mut **tx).await?;
    if run < 2 {
        accounts.meet.wait().await;
    }
    sqlx::query(UPDATE).bind(second).execute(&mut **tx).await?;
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction, retry = 3)]
async fn lock(
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
    Path((first, second)): Path<(i32, i32)>,
) -> Result<StatusCode, Failed> {
    both(&mut tx, &accounts, first, second).await
}

#[idempotent(transaction)]
async fn impatient(
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
    Path((first, second)): Path<(i32, i32)>,
) -> Result<StatusCode, Failed> {
    both(&mut tx, &accounts, first, second).await
}

/// Its error says nothing of its cause.
#[idempotent(transaction, retry = 3)]
async fn wordless(
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
    Path((first, second)): Path<(i32, i32)>,
) -> Result<StatusCode, StatusCode> {
    both(&mut tx, &accounts, first, second).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Fails for its neighbours' sake, once.
#[idempotent(transaction, retry = 3)]
async fn anew(
    reservation: Reservation<InTransaction>,
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
) -> Result<String, Failed> {
    sqlx::query(UPDATE).bind(1).execute(&mut *tx).await?;
    if accounts.signs.runs.fetch_add(1, Ordering::SeqCst) == 0 {
        sqlx::raw_sql("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$")
            .execute(&mut *tx)
            .await?;
    }
    Ok(reservation.token().to_string())
}

/// Reads, thinks, writes: what only serializable transactions get right.
#[idempotent(transaction, isolation = serializable, retry = 50)]
async fn increment(mut tx: Tx<Postgres>, State(signs): State<Signs>) -> Result<String, Failed> {
    signs.runs.fetch_add(1, Ordering::SeqCst);
    let balance: i32 = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = 1").fetch_one(&mut *tx).await?;
    tokio::time::sleep(Duration::from_millis(2)).await;
    sqlx::query("UPDATE accounts SET balance = $1 WHERE id = 1").bind(balance + 1).execute(&mut *tx).await?;
    Ok((balance + 1).to_string())
}

/// Runs together with another request's, and has nothing to do with it.
#[idempotent(transaction, isolation = serializable)]
async fn strangers(mut tx: Tx<Postgres>, State(accounts): State<Accounts>) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO told VALUES (0)").execute(&mut *tx).await?;
    accounts.meet.wait().await;
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction, wait = "300ms")]
async fn brief(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO told VALUES (0)").execute(&mut *tx).await?;
    Ok(StatusCode::CREATED)
}

/// Its foreign key is looked at when it commits.
#[idempotent(transaction)]
async fn entry(mut tx: Tx<Postgres>, Path(id): Path<i32>) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO entries VALUES ($1)").bind(id).execute(&mut *tx).await?;
    Ok(StatusCode::CREATED)
}

/// Answers success although a statement has failed.
#[idempotent(transaction)]
async fn ignorant(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    sqlx::query(UPDATE).bind(1).execute(&mut *tx).await?;
    let _ = sqlx::query("SELECT 1 / 0").execute(&mut *tx).await;
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction, lease = "300ms")]
async fn slow(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    sqlx::query(UPDATE).bind(1).execute(&mut *tx).await?;
    sqlx::query("SELECT pg_sleep(60)").execute(&mut *tx).await?;
    Ok(StatusCode::CREATED)
}

/// Blocks its thread, which nobody can take from it.
#[idempotent(transaction, lease = "1s")]
async fn stuck(mut tx: Tx<Postgres>, State(accounts): State<Accounts>) -> Result<StatusCode, Failed> {
    sqlx::query(UPDATE).bind(1).execute(&mut *tx).await?;
    if accounts.signs.runs.fetch_add(1, Ordering::SeqCst) == 0 {
        // For ever, as far as the test goes; one that fails ends all the same.
        let since = std::time::Instant::now();
        while !accounts.door.load(Ordering::SeqCst) && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(StatusCode::CREATED)
}

async fn balance(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT SUM(balance) FROM accounts").fetch_one(pool).await.unwrap()
}

async fn cross(router: &Router, path: &str) -> (Answer, Answer) {
    let (one, other) = (format!("/{path}/1/2"), format!("/{path}/2/1"));
    tokio::join!(post(router, &one, Some("a"), ""), post(router, &other, Some("b"), ""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_reruns_the_handler() {
    for path in ["lock", "wordless"] {
        let database = TestDatabase::create().await;
        let (pool, router) = Accounts::over(&database).await;
        let (one, other) = cross(&router, path).await;
        assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED), "{path}");
        assert_eq!(balance(&pool).await, 2_004, "{path}");
        assert!(post(&router, &format!("/{path}/1/2"), Some("a"), "").await.is_replay());
        // A trigger of the user's writes in the same transaction.
        assert_eq!(sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM told").fetch_one(&pool).await.unwrap(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_that_is_not_retried_frees_the_key() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let (one, other) = cross(&router, "impatient").await;
    let (lost, key, path) =
        if one.status == StatusCode::CREATED { (other, "b", "/impatient/2/1") } else { (one, "a", "/impatient/1/2") };
    assert_eq!(
        (lost.status, lost.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "idempotency_transaction_rolled_back")
    );
    assert_eq!(balance(&pool).await, 2_002);
    let again = post(&router, path, Some(key), "").await;
    assert_eq!((again.status, again.is_replay()), (StatusCode::CREATED, false));
    assert_eq!(balance(&pool).await, 2_004);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serializable_transactions_lose_no_update() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let mut requests = JoinSet::new();
    for key in 0..20 {
        let router = router.clone();
        requests.spawn(async move { post(&router, "/increment", Some(&key.to_string()), "").await });
    }
    let mut balances: Vec<i32> = Vec::new();
    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        balances.push(std::str::from_utf8(&answer.body).unwrap().parse().unwrap());
    }
    balances.sort_unstable();
    assert_eq!(balances, (1_001..=1_020).collect::<Vec<_>>());
    assert_eq!(balance(&pool).await, 2_020);
}

/// Behind a pooler in transaction mode nobody is notified, and a lock of a session would be left with somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_notifications_do_not_arrive_waiters_poll_and_lock_nothing() {
    let database = TestDatabase::create().await;
    let pooler = RoundTrips::without_notifications(database.url()).await;
    let (one, other) = (process(database.url(), 2).await, process(pooler.url(), 2).await);
    for key in ["k", "l"] {
        let running = one.hold("/patient", key).await;
        let router = other.router.clone();
        let waiter = tokio::spawn(async move { post(&router, "/patient?hold=true", Some(key), "100").await });
        // Long enough to have asked whether notifications arrive, and to poll since.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(sqlx::query_scalar::<_, i64>(locks).fetch_one(&one.pool).await.unwrap(), 0);
        one.signs.gate.notify_one();
        assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
        assert!(waiter.await.unwrap().is_replay());
    }
    assert_eq!(one.payments().await, 2);
}

/// A commit may take its time: a deferred trigger, a replica that is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_waits_is_not_held_by_a_slow_commit() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let trigger = "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dawdling AFTER INSERT ON told DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION dawdle()";
    sqlx::raw_sql(trigger).execute(&pool).await.unwrap();
    let mut held_up = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *held_up).await.unwrap();
    let running = router.clone();
    let first = tokio::spawn(async move { post(&running, "/brief", Some("k"), "").await });
    let committing = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' \
                      AND wait_event_type = 'Lock'";
    eventually("it commits", async || sqlx::query_scalar::<_, i64>(committing).fetch_one(&pool).await.unwrap() == 1)
        .await;
    let idempotency = Idempotency::transactional(PostgresStore::new(pool.clone()));
    let elsewhere = Accounts::new(idempotency);
    let elsewhere = Router::new().route("/brief", on_post(brief)).with_state(elsewhere);
    let duplicate = tokio::time::timeout(Duration::from_secs(8), post(&elsewhere, "/brief", Some("k"), "")).await;
    assert!(!first.is_finished());
    assert_eq!(duplicate.expect("the duplicate is answered meanwhile").code(), "idempotency_request_in_flight");
    held_up.commit().await.unwrap();
    assert_eq!(first.await.unwrap().status, StatusCode::CREATED);
    // Whoever has gone leaves no lock of its own behind.
    let locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("no lock is left", async || sqlx::query_scalar::<_, i64>(locks).fetch_one(&pool).await.unwrap() == 0)
        .await;
}

/// Their rows are neighbours in a table of ours, which is not the handlers' concern.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn serializable_transactions_of_two_keys_are_not_in_each_others_way() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    for round in 0..5 {
        let (one, other) = (format!("one{round}"), format!("other{round}"));
        let (one, other) =
            tokio::join!(post(&router, "/strangers", Some(&one), ""), post(&router, "/strangers", Some(&other), ""));
        assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED));
    }
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM told").fetch_one(&pool).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_serializable_duplicates_one_counts() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let idempotency = Idempotency::transactional(PostgresStore::new(pool.clone()));
    let elsewhere = Accounts::new(idempotency);
    let elsewhere = Router::new().route("/increment", on_post(increment)).with_state(elsewhere);
    let mut requests = JoinSet::new();
    for key in 0..10 {
        for router in [&router, &elsewhere, &router, &elsewhere] {
            let router = router.clone();
            requests.spawn(async move { (key, post(&router, "/increment", Some(&key.to_string()), "").await) });
        }
    }
    let mut answers: std::collections::HashMap<i32, Answer> = std::collections::HashMap::new();
    while let Some(answered) = requests.join_next().await {
        let (key, answer) = answered.unwrap();
        if answer.status == StatusCode::OK {
            let first = answers.entry(key).or_insert_with(|| answer.clone());
            assert_eq!(first.body, answer.body, "{key}");
        } else {
            assert_eq!(answer.code(), "idempotency_request_in_flight", "{key}");
        }
    }
    assert_eq!((answers.len(), balance(&pool).await), (10, 2_010));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_committed_is_told_and_undone() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    for path in ["/entry/7", "/ignorant"] {
        for _ in 0..2 {
            let refused = post(&router, path, Some("k"), "").await;
            assert_eq!(refused.code(), "idempotency_transaction_refused", "{path}");
        }
    }
    assert_eq!(post(&router, "/entry/1", Some("k"), "").await.status, StatusCode::CREATED);
    assert_eq!(balance(&pool).await, 2_000);
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM entries").fetch_one(&pool).await.unwrap(), 1);
}

/// A statement that runs past the deadline is ended with its session: its locks do not outlive the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_statement_past_the_deadline_is_ended() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let late = post(&router, "/slow", Some("k"), "").await;
    assert_eq!(late.code(), "idempotency_transaction_timed_out");
    let sleeping = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' \
                    AND pid <> pg_backend_pid() AND datname = current_database()";
    eventually("the session is gone", async || {
        sqlx::query_scalar::<_, i64>(sleeping).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("SET lock_timeout = '5s'").execute(&mut *connection).await.unwrap();
    sqlx::query(UPDATE).bind(1).execute(&mut *connection).await.unwrap();
    assert_eq!(balance(&pool).await, 2_001);
}

/// The server goes away in the middle of everything, and comes back: nothing is lost, nothing doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_dies_undoes_what_was_not_committed() {
    let server = PostgresOptions::new().start().await;
    let database = TestDatabase::create_on(&server).await;
    let bank = process(database.url(), 4).await;
    let running = bank.hold("/pay", "k").await;
    server.stop_immediate().await;
    server.start().await;
    bank.signs.gate.notify_one();
    assert_eq!(running.await.unwrap().code(), "idempotency_transaction_rolled_back");
    let mut answer = bank.post("/pay", "k").await;
    let started = AtomicUsize::new(0);
    while answer.status != StatusCode::CREATED && started.fetch_add(1, Ordering::SeqCst) < 50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = bank.post("/pay", "k").await;
    }
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(bank.payments().await, 1);
}

/// The second run has a reservation of its own, which is the one that is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_anew_knows_its_own_token() {
    let database = TestDatabase::create().await;
    let (pool, router) = Accounts::over(&database).await;
    let told = post(&router, "/anew", Some("k"), "").await;
    let recorded: String =
        sqlx::query_scalar("SELECT reservation_id::text FROM cratestack_idempotency").fetch_one(&pool).await.unwrap();
    assert_eq!((told.status, told.body.as_ref()), (StatusCode::OK, recorded.as_bytes()));
    assert_eq!(balance(&pool).await, 2_001);
}

/// The key is free although the handler still has its thread, and with it the transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_past_the_deadline_is_undone() {
    let database = TestDatabase::create().await;
    let (pool, router, door) = Accounts::with_door(&database).await;
    // The thread that is blocked may be the one that drives the runtime's clock; what comes in from elsewhere has
    // another one take over. A service has clients for that.
    let (traffic, is_over) = (tokio::runtime::Handle::current(), Arc::new(AtomicBool::new(false)));
    let comes_in = Arc::clone(&is_over);
    let clients = std::thread::spawn(move || {
        while !comes_in.load(Ordering::SeqCst) {
            traffic.spawn(async {});
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let stuck = post(&router, "/stuck", Some("k"), "").await;
    assert_eq!(stuck.code(), "idempotency_transaction_timed_out");
    let again = post(&router, "/stuck", Some("k"), "").await;
    assert_eq!((again.status, again.is_replay()), (StatusCode::CREATED, false));
    door.store(true, Ordering::SeqCst);
    assert!(post(&router, "/stuck", Some("k"), "").await.is_replay());
    assert_eq!(balance(&pool).await, 2_001);
    is_over.store(true, Ordering::SeqCst);
    clients.join().unwrap();
}

/// So it is where a task still has the `Tx` that its handler gave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_is_lent_out_keeps_no_key() {
    let database = TestDatabase::create().await;
    let bank = process(database.url(), 4).await;
    assert_eq!(bank.post("/lent", "k").await.code(), "idempotency_transaction_refused");
    assert_eq!(bank.post("/pay", "k").await.status, StatusCode::CREATED);
    bank.signs.gate.notify_one();
    assert!(bank.post("/pay", "k").await.is_replay());
    assert_eq!(bank.payments().await, 1);
}
