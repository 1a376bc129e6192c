//! A commit whose answer is lost: it happened or it did not, and the service must find out before it says anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::{
    PostgresServer, TestDatabase,
    postgres::{Commits, Fate},
};
use http_body_util::BodyExt as _;
use sqlx::{PgPool, Postgres, postgres::PgPoolOptions};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<PostgresStore>,
    /// How often a handler ran.
    runs: Arc<AtomicUsize>,
}

type Paid = (StatusCode, String);

async fn write(tx: &mut Tx<Postgres>, runs: &AtomicUsize) -> Paid {
    let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
    sqlx::query("INSERT INTO payments VALUES (1)").execute(&mut **tx).await.unwrap();
    (StatusCode::CREATED, format!("run {run}"))
}

#[idempotent(transaction, lease = "1h")]
async fn pay(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Paid {
    write(&mut tx, &runs).await
}

#[idempotent(transaction, lease = "1h", retry = 1)]
async fn pay_again(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Paid {
    write(&mut tx, &runs).await
}

#[idempotent(transaction, lease = "1h", wait = "30s")]
async fn pay_in_turn(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Paid {
    write(&mut tx, &runs).await
}

#[idempotent(transaction, lease = "1h")]
async fn decline(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Response {
    let (_, run) = write(&mut tx, &runs).await;
    (StatusCode::PAYMENT_REQUIRED, run).into_response()
}

/// The first run is in a statement that takes longer than anybody waits.
#[idempotent(transaction, lease = "300ms")]
async fn linger(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Paid {
    let paid = write(&mut tx, &runs).await;
    if runs.load(Ordering::SeqCst) == 1 {
        sqlx::raw_sql("SELECT pg_sleep(600)").execute(&mut *tx).await.unwrap();
    }
    paid
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    replayed: bool,
    body: String,
}

impl Answer {
    fn is_rolled_back(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.body.contains("idempotency_transaction_rolled_back")
    }
}

/// A service, with a pool of one so that whatever is not given back is missed.
struct Service {
    router: Router,
    runs: Arc<AtomicUsize>,
}

impl Service {
    fn on(url: &str, patience: Duration) -> Self {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(2));
        let store = PostgresStore::new(pool.connect_lazy(url).unwrap());
        let runs = Arc::<AtomicUsize>::default();
        let shop = Shop { idempotency: Idempotency::transactional(store).store_timeout(patience), runs: runs.clone() };
        let router = Router::new()
            .route("/pay", post(pay))
            .route("/again", post(pay_again))
            .route("/turn", post(pay_in_turn))
            .route("/decline", post(decline))
            .route("/linger", post(linger))
            .with_state(shop);
        Self { router, runs }
    }

    async fn post(&self, path: &str) -> Answer {
        self.start(path).await.unwrap()
    }

    fn start(&self, path: &str) -> JoinHandle<Answer> {
        let request = Request::post(path).header("authorization", "Bearer a").header("idempotency-key", "k");
        let sent = self.router.clone().oneshot(request.body(Body::empty()).unwrap());
        tokio::spawn(async move {
            let (head, body) = sent.await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answer {
                status: head.status,
                replayed: head.headers.contains_key("idempotency-replayed"),
                body: String::from_utf8(body.to_vec()).unwrap(),
            }
        })
    }

    /// Until the key is free or has an outcome.
    async fn retry(&self, path: &str) -> Answer {
        for _ in 0..600 {
            let answer = self.post(path).await;
            if !matches!(answer.status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no outcome");
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

struct Books(PgPool);

impl Books {
    async fn of(database: &TestDatabase) -> Self {
        let pool = PgPool::connect(database.url()).await.unwrap();
        PostgresStore::new(pool.clone()).migrate().await.unwrap();
        sqlx::raw_sql("CREATE TABLE payments (n INT)").execute(&pool).await.unwrap();
        Self(pool)
    }

    async fn payments(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(&self.0).await.unwrap()
    }

    async fn statuses(&self) -> Vec<Option<i32>> {
        let statuses = "SELECT response_status FROM cratestack_idempotency";
        sqlx::query_scalar(statuses).fetch_all(&self.0).await.unwrap()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn one_service(fates: impl IntoIterator<Item = Fate>) -> (TestDatabase, Books, Commits, Service) {
    let database = TestDatabase::create().await;
    let books = Books::of(&database).await;
    let proxy = Commits::before(database.url(), fates).await;
    let service = Service::on(proxy.url(), PATIENCE);
    (database, books, proxy, service)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_happened_is_an_outcome_like_any_other() {
    let (_database, books, proxy, service) = one_service([Fate::Unanswered]).await;
    let first = service.post("/pay").await;
    proxy.met(1).await;
    assert_eq!(first, Answer { status: StatusCode::CREATED, replayed: false, body: "run 1".into() });
    assert_eq!((books.payments().await, service.runs()), (1, 1));
    assert_eq!(service.post("/pay").await, Answer { replayed: true, ..first });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_error_is_found_as_well() {
    let (_database, books, _proxy, service) = one_service([Fate::Unanswered]).await;
    let first = service.post("/decline").await;
    assert_eq!((first.status, first.replayed), (StatusCode::PAYMENT_REQUIRED, false));
    assert_eq!((books.payments().await, books.statuses().await), (0, vec![Some(402)]));
    assert_eq!(service.post("/decline").await, Answer { replayed: true, ..first });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_never_arrived_leaves_nothing_and_the_key_is_free() {
    let (_database, books, _proxy, service) = one_service([Fate::Lost]).await;
    let first = service.post("/pay").await;
    assert!(first.is_rolled_back(), "{first:?}");
    assert_eq!((books.payments().await, books.statuses().await), (0, vec![]));
    let second = service.post("/pay").await;
    assert_eq!((second.status, second.replayed), (StatusCode::CREATED, false));
    assert_eq!((books.payments().await, service.runs()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_never_arrived_is_made_up_for_by_another_run() {
    let (_database, books, _proxy, service) = one_service([Fate::Lost]).await;
    let first = service.post("/again").await;
    assert_eq!(first, Answer { status: StatusCode::CREATED, replayed: false, body: "run 2".into() });
    assert_eq!((books.payments().await, service.runs()), (1, 2));
}

/// No second run where the first has committed, however much it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_happened_is_not_made_up_for() {
    let late = Fate::Late(Duration::from_millis(400));
    for fate in [Fate::Unanswered, late] {
        let (_database, books, _proxy, service) = one_service([fate]).await;
        assert_eq!(service.post("/again").await.body, "run 1");
        assert_eq!((books.payments().await, service.runs()), (1, 1));
    }
}

/// Neither there nor gone: as long as the server may still get it, nobody may run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_is_still_under_way_keeps_the_key() {
    let (database, books, proxy, service) = one_service([Fate::Late(Duration::from_millis(700))]).await;
    let other = Service::on(database.url(), PATIENCE);
    let first = service.start("/pay");
    proxy.met(1).await;
    let (here, elsewhere) = (service.post("/pay").await, other.post("/pay").await);
    for duplicate in [here, elsewhere] {
        assert!(duplicate.body.contains("idempotency_request_in_flight"), "{duplicate:?}");
    }
    let first = first.await.unwrap();
    assert_eq!(first, Answer { status: StatusCode::CREATED, replayed: false, body: "run 1".into() });
    assert_eq!(other.post("/pay").await, Answer { replayed: true, ..first });
    assert_eq!((books.payments().await, service.runs() + other.runs()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_waited_for_by_the_duplicates_that_wait() {
    let (database, books, proxy, service) = one_service([Fate::Late(Duration::from_millis(700))]).await;
    let other = Service::on(database.url(), PATIENCE);
    let first = service.start("/turn");
    proxy.met(1).await;
    let (here, elsewhere) = (service.start("/turn"), other.start("/turn"));
    let first = first.await.unwrap();
    for waiter in [here, elsewhere] {
        assert_eq!(waiter.await.unwrap(), Answer { replayed: true, ..first.clone() });
    }
    assert_eq!((books.payments().await, service.runs() + other.runs()), (1, 1));
}

/// A connection that is dead and does not say so must not be kept: here it is the only one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_connection_that_went_silent_costs_the_pool_nothing() {
    let (_database, books, _proxy, service) = one_service([Fate::Silent]).await;
    let first = service.post("/pay").await;
    assert_eq!(first, Answer { status: StatusCode::CREATED, replayed: false, body: "run 1".into() });
    assert_eq!(service.post("/pay").await, Answer { replayed: true, ..first });
    assert_eq!((books.payments().await, service.runs()), (1, 1));
}

/// The service gives up before the server has got it. Until it has, the key is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_arrives_after_the_service_gave_up_is_told_to_a_retry() {
    let database = TestDatabase::create().await;
    let books = Books::of(&database).await;
    let proxy = Commits::before(database.url(), [Fate::Late(Duration::from_secs(4))]).await;
    let service = Service::on(proxy.url(), Duration::from_millis(300));
    let first = service.post("/pay").await;
    assert!(first.body.contains("idempotency_outcome_unknown"), "{first:?}");
    assert!(service.post("/pay").await.body.contains("idempotency_request_in_flight"));
    let again = service.retry("/pay").await;
    assert_eq!(again, Answer { status: StatusCode::CREATED, replayed: true, body: "run 1".into() });
    assert_eq!((books.payments().await, service.runs()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outlives_the_server() {
    for fate in [Fate::Unanswered, Fate::Lost, Fate::Late(Duration::from_millis(200))] {
        let server = PostgresServer::launch().await;
        let database = TestDatabase::create_on(&server).await;
        let books = Books::of(&database).await;
        let proxy = Commits::before(database.url(), [fate]).await;
        let service = Service::on(proxy.url(), PATIENCE);
        let first = service.start("/pay");
        proxy.met(1).await;
        server.stop_immediate().await;
        server.start().await;
        let first = first.await.unwrap();
        assert!(first.body.starts_with("run") || first.is_rolled_back(), "{fate:?}: {first:?}");
        let again = service.retry("/pay").await;
        assert_eq!(books.payments().await, 1, "{fate:?}");
        // Who was told an outcome was told the recorded one.
        if first.status == StatusCode::CREATED {
            assert_eq!(again, Answer { replayed: true, ..first });
        }
        if fate == Fate::Unanswered {
            assert_eq!(service.runs(), 1);
        }
    }
}

/// With nobody to ask, the client is not told that nothing happened, and a retry is told the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_nobody_can_be_asked_about_is_told_to_a_retry() {
    let server = PostgresServer::launch().await;
    let database = TestDatabase::create_on(&server).await;
    let books = Books::of(&database).await;
    let proxy = Commits::before(database.url(), [Fate::Unanswered]).await;
    let service = Service::on(proxy.url(), Duration::from_millis(200));
    let first = service.start("/pay");
    proxy.met(1).await;
    server.stop_immediate().await;
    let first = first.await.unwrap();
    server.start().await;
    let again = service.retry("/pay").await;
    if first.status == StatusCode::CREATED {
        // It was faster than the stop.
        assert_eq!(again.body, first.body);
    } else {
        assert!(first.body.contains("idempotency_outcome_unknown"), "{first:?}");
    }
    assert_eq!((again.replayed, again.body.as_str()), (true, "run 1"));
    assert_eq!((books.payments().await, service.runs()), (1, 1));
}

/// Cut off in a statement, on the only connection: the session ends with the statement, and the key is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_comes_of_a_handler_that_is_cut_off_in_a_statement() {
    let database = TestDatabase::create().await;
    let books = Books::of(&database).await;
    let service = Service::on(database.url(), PATIENCE);
    let first = service.post("/linger").await;
    assert!(first.body.contains("idempotency_transaction_timed_out"), "{first:?}");
    let second = service.retry("/linger").await;
    assert_eq!((second.status, second.body.as_str()), (StatusCode::CREATED, "run 2"));
    assert_eq!(books.payments().await, 1);
}
