//! A fleet that is upgraded while it runs: a service on `cratestack-axum` and `cratestack-sqlx` 0.8, this library's
//! previous version and the new one share a table, and clients ask whichever they meet.
//!
//! The two versions of ours are the bank of the workspace's tests, as processes. One after the other is replaced: it
//! gets no more requests, what runs there without a transaction ends, and it is killed, whatever runs there in one.
//! What the requests avoid is what 0.8 reads otherwise (`docs/guarantees.md`, "Beside services on cratestack 0.8").

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{FromRef, OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use cratestack_axum::idempotency::IdempotencyLayer;
use cratestack_interop::{Answer, Bank, Client, Setup, TestDatabase, versions};
use cratestack_runtime::{Idempotency, PostgresStore, Reservation, StepError, idempotent};
use cratestack_sqlx::SqlxIdempotencyStore;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tokio::time::sleep;

const KEYS_PER_WAVE: usize = 40;
/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A payment beside a reservation whose lease is an hour; one whose lease is two seconds; one in a transaction.
const PATHS: [&str; 3] = ["/beside/payments", "/reservation/payments", "/transaction/payments"];
/// One of two steps, which fails between them the first time. Only services that know steps have it: another version
/// would begin anew.
const STEPS: &str = "/steps/payments";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Theirs,
    Previous,
    New,
    /// The new one, whose handlers make steps.
    Steps,
}

/// A service that gets requests.
#[derive(Clone)]
struct Member {
    version: Version,
    client: Client,
    /// Requests that a kill would run twice.
    busy: Arc<AtomicUsize>,
}

struct Fleet {
    _database: TestDatabase,
    url: String,
    pool: PgPool,
    members: Mutex<Vec<Member>>,
    /// By the number that the names of its runs begin with.
    versions: Mutex<HashMap<String, Version>>,
    next: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Order {
    path: &'static str,
    key: String,
    amount: i64,
    after: u64,
}

/// The same row as the bank writes.
#[derive(Deserialize)]
struct Payment {
    key: String,
    amount: i64,
    after: u64,
}

async fn their_payment(State(pool): State<PgPool>, Json(payment): Json<Payment>) -> Response {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let row: i64 = sqlx::query_scalar("INSERT INTO payments (key, amount) VALUES ($1, $2) RETURNING id")
        .bind(&payment.key)
        .bind(payment.amount)
        .fetch_one(&pool)
        .await
        .unwrap();
    sleep(Duration::from_millis(payment.after)).await;
    let run = format!("theirs-{}", RUNS.fetch_add(1, Ordering::Relaxed));
    let body = Json(json!({"row": row, "amount": payment.amount}));
    (StatusCode::CREATED, [("x-run", run), ("location", format!("/rows/{row}"))], body).into_response()
}

struct Failed;

impl From<StepError> for Failed {
    fn from(error: StepError) -> Self {
        panic!("nothing is away, and every lease is kept: {error}")
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

#[derive(Clone, FromRef)]
struct Steps {
    idempotency: Idempotency,
    pool: PgPool,
}

#[idempotent(lease = "2s", record = success)]
async fn payment_in_steps(
    State(pool): State<PgPool>,
    reservation: Reservation,
    path: OriginalUri,
    Json(payment): Json<Payment>,
) -> Result<Response, Failed> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let pay = async || {
        let row = sqlx::query_scalar("INSERT INTO payments (key, amount) VALUES ($1, $2) RETURNING id")
            .bind(&payment.key)
            .bind(payment.amount)
            .fetch_one(&pool)
            .await
            .unwrap();
        Ok::<i64, Failed>(row)
    };
    let row = reservation.step("pay", pay).await?;
    sleep(Duration::from_millis(payment.after)).await;
    if path.path() == STEPS && reservation.attempt() == 1 {
        return Err(Failed);
    }
    let number = async || Ok::<_, Failed>(format!("steps-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    let run = reservation.step("number", number).await?;
    let body = Json(json!({"row": row, "amount": payment.amount}));
    Ok((StatusCode::CREATED, [("x-run", run), ("location", format!("/rows/{row}"))], body).into_response())
}

impl Fleet {
    /// The service on 0.8; its table has been migrated, as the first step of an upgrade.
    async fn of_theirs() -> Arc<Self> {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        let pool = PgPoolOptions::new().max_connections(20).connect(&url).await.unwrap();
        let their_store = SqlxIdempotencyStore::new(cratestack_sqlx::sqlx::PgPool::connect(&url).await.unwrap());
        their_store.ensure_schema().await.unwrap();
        PostgresStore::new(pool.clone()).migrate().await.unwrap();
        let payments = "CREATE TABLE payments (id BIGSERIAL PRIMARY KEY, key TEXT NOT NULL, amount BIGINT NOT NULL)";
        sqlx::raw_sql(payments).execute(&pool).await.unwrap();
        let layer = IdempotencyLayer::new(Arc::new(their_store), Duration::from_secs(24 * 3600));
        let mut router = Router::new();
        for path in PATHS {
            router = router.route(path, post(their_payment));
        }
        let service = router.layer(layer).with_state(pool.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = Client::new(listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        let fleet = Self {
            _database: database,
            url,
            pool,
            members: Mutex::default(),
            versions: Mutex::new(HashMap::from([("theirs".to_owned(), Version::Theirs)])),
            next: AtomicUsize::new(0),
        };
        fleet.join(Version::Theirs, client);
        Arc::new(fleet)
    }

    fn join(&self, version: Version, client: Client) {
        self.members.lock().unwrap().push(Member { version, client, busy: Arc::default() });
    }

    /// Starts a service of the new version whose handlers make steps, with a store of its own.
    async fn start_steps(&self) {
        let pool = PgPoolOptions::new().max_connections(8).connect(&self.url).await.unwrap();
        let idempotency = Idempotency::new(PostgresStore::new(pool.clone()));
        let mut router = Router::new();
        for path in PATHS.into_iter().chain([STEPS]) {
            router = router.route(path, post(payment_in_steps));
        }
        let service = router.with_state(Steps { idempotency, pool });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        self.versions.lock().unwrap().insert("steps".to_owned(), Version::Steps);
        self.join(Version::Steps, Client::new(listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, service).await });
    }

    /// Who has the path.
    fn members(&self, path: &str) -> Vec<Member> {
        let members = self.members.lock().unwrap();
        members.iter().filter(|member| path != STEPS || member.version == Version::Steps).cloned().collect()
    }

    /// Starts a bank; it gets requests from now on.
    fn start(&self, program: &std::path::Path, version: Version) -> Bank {
        // In every bank but the first of a fleet, the route that has either mode has reservations.
        let bank = Bank::start(program, &self.url, &Setup::new(8, version == Version::New), 1);
        self.versions.lock().unwrap().insert(bank.pid().to_string(), version);
        self.join(version, bank.client());
        bank
    }

    /// The first one of the previous version gets no more requests, and ends.
    async fn retire(&self, mut bank: Bank) {
        let member = {
            let mut members = self.members.lock().unwrap();
            let nth = members.iter().position(|member| member.version == Version::Previous).unwrap();
            members.remove(nth)
        };
        while member.busy.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        bank.kill();
    }

    /// The next one, in turn; it is busy until the guard is dropped.
    fn pick(&self, order: &Order) -> (Member, Option<Busy>) {
        let members = self.members(order.path);
        let member = members[self.next.fetch_add(1, Ordering::Relaxed) % members.len()].clone();
        let busy = (order.path != "/transaction/payments").then(|| Busy::new(&member.busy));
        (member, busy)
    }

    fn ran_by(&self, answer: &Answer) -> Version {
        let run = answer.header("x-run").unwrap().split('-').next().unwrap().to_owned();
        self.versions.lock().unwrap()[&run]
    }

    async fn rows(&self, key: &str) -> Vec<(i64, i64)> {
        let rows = "SELECT id, amount FROM payments WHERE key = $1";
        sqlx::query_as(rows).bind(key).fetch_all(&self.pool).await.unwrap()
    }
}

struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn send(client: Client, caller: &str, order: &Order) -> std::io::Result<Answer> {
    let body = json!({
        "key": order.key, "amount": order.amount, "before": 0, "within": 0, "after": order.after, "declined": false,
    });
    client.post(order.path).key(&order.key).header("authorization", caller).json(&body).send().await
}

/// Asks, each time another service, until there is a final answer: an outcome or a refusal.
async fn until_told(fleet: &Fleet, caller: &str, order: &Order) -> (Version, Answer) {
    let asked = Instant::now();
    loop {
        let (member, _busy) = fleet.pick(order);
        match send(member.client, caller, order).await {
            Ok(answer) if answer.headers.contains_key("x-run") || answer.status == 422 => {
                return (member.version, answer);
            }
            Ok(answer) if [409, 503].contains(&answer.status.as_u16()) => {}
            Ok(answer) => panic!("{:?}: {answer:?}", member.version),
            // It was killed.
            Err(_) if member.version == Version::Previous && order.path == "/transaction/payments" => {}
            Err(error) => panic!("{:?}: {error}", member.version),
        }
        assert!(asked.elapsed() < PATIENCE, "no final answer: {order:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Without what the connection adds, and the sign of a replay.
fn outcome(answer: &Answer) -> (StatusCode, HeaderMap, &[u8]) {
    let mut headers = answer.headers.clone();
    for added in ["date", "content-length", "connection", "transfer-encoding", "idempotency-replayed"] {
        headers.remove(added);
    }
    (answer.status, headers, &answer.body)
}

/// What a key has come to, and who ran and who replayed it.
struct Settled {
    order: Order,
    answer: Answer,
    told: Vec<(Version, Version)>,
}

/// Several clients send the same request; then another one and another caller come with its key.
async fn settle(fleet: Arc<Fleet>, order: Order) -> Settled {
    let mut asking = JoinSet::new();
    for n in 0..4 {
        let (fleet, order) = (Arc::clone(&fleet), order.clone());
        asking.spawn(async move {
            sleep(Duration::from_millis(n * 15)).await;
            until_told(&fleet, "Bearer alice", &order).await
        });
    }
    let told = asking.join_all().await;
    let answer = told[0].1.clone();
    assert_eq!(answer.status, 201, "{answer:?}");
    for (version, told) in &told {
        assert_eq!(outcome(told), outcome(&answer), "{version:?} told another outcome of {order:?}");
    }
    let rows = fleet.rows(&order.key).await;
    assert_eq!(rows, [(answer.json()["row"].as_i64().unwrap(), order.amount)], "the effects of {order:?}");

    let dearer = Order { amount: order.amount + 1, ..order.clone() };
    let (version, refused) = until_told(&fleet, "Bearer alice", &dearer).await;
    let is_refused = refused.status == 422 && refused.body.windows(24).any(|part| part == b"idempotency_key_conflict");
    assert!(is_refused, "{version:?} ran another request under the key of {order:?}: {refused:?}");
    let (version, stranger) = until_told(&fleet, "Bearer bob", &order).await;
    assert!(!stranger.is_replay(), "{version:?} replayed the outcome of {order:?} to another caller");
    assert_ne!(stranger.header("x-run"), answer.header("x-run"));

    let ran_by = fleet.ran_by(&answer);
    Settled { order, answer, told: told.into_iter().map(|(version, _)| (ran_by, version)).collect() }
}

/// Waits for the keys of a wave, and asks each once more of every service that is there.
async fn settle_all(fleet: &Fleet, wave: JoinSet<Settled>, settled: &mut Vec<Settled>) {
    settled.extend(wave.join_all().await);
    for settled in settled {
        for Member { version, client, .. } in fleet.members(settled.order.path) {
            let again = send(client, "Bearer alice", &settled.order).await.unwrap();
            assert!(again.is_replay(), "{version:?}: {again:?}");
            assert_eq!(outcome(&again), outcome(&settled.answer), "{version:?} replays {:?} otherwise", settled.order);
            settled.told.push((fleet.ran_by(&settled.answer), version));
        }
        assert_eq!(fleet.rows(&settled.order.key).await.len(), 2, "one for each caller of {:?}", settled.order);
    }
}

fn wave(fleet: &Arc<Fleet>, number: usize) -> JoinSet<Settled> {
    let mut wave = JoinSet::new();
    for n in 0..KEYS_PER_WAVE {
        let after = match n {
            // Longer than the lease of two seconds, which is renewed; nobody takes the key over.
            0..3 => 2_500,
            _ => 7 * (n as u64 % 10),
        };
        let path = match n {
            0..3 => "/reservation/payments",
            _ if n % 5 == 0 => STEPS,
            _ => PATHS[n % 3],
        };
        let order = Order { path, key: format!("{number}-{n}"), amount: 10 + n as i64, after };
        let fleet = Arc::clone(fleet);
        wave.spawn(async move {
            sleep(Duration::from_millis(12 * n as u64)).await;
            settle(fleet, order).await
        });
    }
    wave
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_upgrade_doubles_nothing() {
    let building = tokio::task::spawn_blocking(|| (versions::previous_bank(), versions::current_bank()));
    let (previous, new) = building.await.unwrap();
    let fleet = Fleet::of_theirs().await;
    let mut settled = Vec::new();
    let mut old = vec![fleet.start(&previous, Version::Previous), fleet.start(&previous, Version::Previous)];
    let mut banks = Vec::new();
    for _ in 0..2 {
        fleet.start_steps().await;
    }

    // One of two, while requests come; then nothing changes for a while; then the other.
    for number in 0..3 {
        let requests = wave(&fleet, number);
        if number != 1 {
            sleep(Duration::from_millis(150)).await;
            banks.push(fleet.start(&new, Version::New));
            fleet.retire(old.remove(0)).await;
        }
        settle_all(&fleet, requests, &mut settled).await;
    }

    let mut matrix = BTreeMap::new();
    for pair in settled.iter().flat_map(|settled| &settled.told) {
        *matrix.entry(*pair).or_insert(0_usize) += 1;
    }
    println!("{} keys, each with one effect for each of two callers", settled.len());
    println!("outcomes by (who ran, who told): {matrix:?}");
    assert_eq!(matrix.len(), 16, "each version is to tell outcomes of each: {matrix:?}");
    let in_steps = settled.iter().filter(|settled| settled.order.path == STEPS).count();
    assert!(in_steps >= 3 * KEYS_PER_WAVE / 6, "runs that failed between two steps, and went on: {in_steps}");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency WHERE steps IS NOT NULL")
        .fetch_one(&fleet.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0, "rows that still have steps");
}
