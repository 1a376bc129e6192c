//! Two services of one fleet on one table, one of them on `cratestack-axum` and `cratestack-sqlx` 0.8.15 as published.
//!
//! Every test runs on a table that they created and our `migrate()` upgraded, and on one that we created; with group
//! commit and without.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use cratestack_axum::idempotency::IdempotencyLayer;
use cratestack_interop::TestDatabase;
use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, LeaseState, PostgresStore, idempotent,
};
use cratestack_sqlx::SqlxIdempotencyStore;
use http_body_util::BodyExt;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Notify;
use tower::ServiceExt;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    effects: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    open: Notify,
}

/// The handler of both services. What it answers depends on the path, as the same request must reach both.
async fn handle(app: &App, path: &str, body: Bytes) -> Response {
    let effect = app.effects.fetch_add(1, Ordering::SeqCst) + 1;
    match path {
        "/held" => {
            app.gate.entered.notify_one();
            app.gate.open.notified().await;
            format!("effect {effect}").into_response()
        }
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/events" => ([("content-type", "text/event-stream")], "data: x\n\n").into_response(),
        "/login" => {
            let mut response = format!("effect {effect}").into_response();
            response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
            response.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
            response
        }
        _ => {
            let mut response = (StatusCode::CREATED, body).into_response();
            let headers = response.headers_mut();
            headers.insert("location", HeaderValue::from_static("/payments/1"));
            headers.insert("etag", HeaderValue::from_bytes(b"\"\xf0\xff opaque\"").unwrap());
            headers.insert("cache-control", HeaderValue::from_static("no-store"));
            headers.append("vary", HeaderValue::from_static("accept"));
            headers.append("vary", HeaderValue::from_static("accept-language"));
            headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
            headers.insert(HeaderName::from_static("x-effect"), HeaderValue::from(effect));
            response
        }
    }
}

#[idempotent]
async fn ours(State(app): State<App>, request: Request) -> Response {
    theirs(State(app), request).await
}

async fn theirs(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    handle(&app, &path, body).await
}

/// Both services, on one database.
struct Fleet {
    _database: TestDatabase,
    pool: PgPool,
    store: PostgresStore,
    their_store: SqlxIdempotencyStore,
    app: App,
    ours: Router,
    theirs: Router,
}

async fn fleet(they_created_the_table: bool, group_commit: bool) -> Fleet {
    let database = TestDatabase::create().await;
    let pool = PgPoolOptions::new().max_connections(10).connect(database.url()).await.unwrap();
    let their_pool = cratestack_sqlx::sqlx::PgPool::connect(database.url()).await.unwrap();
    let their_store = SqlxIdempotencyStore::new(their_pool);
    let store = PostgresStore::new(pool.clone()).group_commit(group_commit);
    if they_created_the_table {
        their_store.ensure_schema().await.unwrap();
    }
    store.migrate().await.unwrap();
    their_store.ensure_schema().await.unwrap();
    let app = App { idempotency: Idempotency::new(store.clone()), effects: Arc::default(), gate: Arc::default() };
    let layer = IdempotencyLayer::new(Arc::new(their_store.clone()), Duration::from_secs(3600));
    let ours = Router::new().route("/{*path}", post(ours)).with_state(app.clone());
    let theirs = Router::new().route("/{*path}", post(theirs)).layer(layer).with_state(app.clone());
    Fleet { _database: database, pool, store, their_store, app, ours, theirs }
}

/// Each test on both kinds of table.
macro_rules! on_both_tables {
    ($($name:ident),* $(,)?) => {
        mod on_their_table {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(true, true).await).await;
            })*
        }
        mod on_our_table {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(false, true).await).await;
            })*
        }
        mod on_our_table_without_group_commit {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$name(super::fleet(false, false).await).await;
            })*
        }
    };
}

on_both_tables! {
    outcomes_replay_both_ways,
    their_cookies_replay_and_ours_are_not_recorded,
    many_at_once_run_once,
    callers_are_the_same_ones,
    a_key_in_flight_is_409_both_ways,
    another_request_is_422_both_ways,
    their_reservation_lasts_until_it_expires,
    our_stale_lease_does_not_count_against_them,
    a_stale_holder_touches_nothing_both_ways,
    what_cannot_be_replayed_is_a_409_there_too,
    bare_keys_are_shared_and_quoted_ones_are_not,
    racing_services_run_each_key_once,
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn is_replay(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
    }

    /// Without what marks a replay.
    fn unmarked(mut self) -> Self {
        self.headers.remove("idempotency-replayed");
        self
    }
}

fn request(path: &str, key: &str, body: &'static [u8]) -> Request {
    Request::post(path)
        .header("authorization", "Bearer alice")
        .header("content-type", "application/octet-stream")
        .header("idempotency-key", key)
        .body(Body::from(body))
        .unwrap()
}

async fn send(router: &Router, request: Request) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let mut headers = parts.headers;
    // Made anew for every message, and so not recorded.
    headers.remove("content-length");
    Answer { status: parts.status, headers, body: body.collect().await.unwrap().to_bytes() }
}

const BINARY: &[u8] = b"\0\xff\xfe binary \r\n";

async fn outcomes_replay_both_ways(fleet: Fleet) {
    for path in ["/pay?confirm=true", "/empty"] {
        for (first, second) in [(&fleet.ours, &fleet.theirs), (&fleet.theirs, &fleet.ours)] {
            let key = uuid::Uuid::new_v4().to_string();
            let effects = fleet.app.effects.load(Ordering::SeqCst);
            let recorded = send(first, request(path, &key, BINARY)).await;
            let replayed = send(second, request(path, &key, BINARY)).await;
            assert!(!recorded.is_replay() && replayed.is_replay(), "{path}");
            assert_eq!(replayed.unmarked(), recorded, "{path}");
            assert_eq!(fleet.app.effects.load(Ordering::SeqCst), effects + 1, "{path}");
        }
    }
}

/// They record whatever a handler sets.
async fn their_cookies_replay_and_ours_are_not_recorded(fleet: Fleet) {
    let recorded = send(&fleet.theirs, request("/login", "theirs", b"")).await;
    assert_eq!(recorded.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    let replayed = send(&fleet.ours, request("/login", "theirs", b"")).await;
    assert!(replayed.is_replay());
    assert_eq!(replayed.unmarked(), recorded, "both are in the row");

    let mut first = send(&fleet.ours, request("/login", "ours", b"")).await;
    assert_eq!(first.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    first.headers.remove("set-cookie");
    for service in [&fleet.ours, &fleet.theirs] {
        let replayed = send(service, request("/login", "ours", b"")).await;
        assert!(replayed.is_replay());
        assert_eq!(replayed.unmarked(), first, "neither is in the row");
    }
    assert_eq!(fleet.app.effects.load(Ordering::SeqCst), 2);
}

async fn callers_are_the_same_ones(fleet: Fleet) {
    let peer = |address: &str| {
        let mut request = request("/pay", "k1", b"x");
        request.headers_mut().remove("authorization");
        let address: std::net::SocketAddr = address.parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(address));
        request
    };
    for address in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
        let recorded = send(&fleet.theirs, peer(address)).await;
        assert!(!recorded.is_replay());
        assert_eq!(send(&fleet.ours, peer(address)).await.unmarked(), recorded);
    }
    assert!(!send(&fleet.ours, request("/pay", "k1", b"x")).await.is_replay(), "another caller");
    assert!(send(&fleet.theirs, request("/pay", "k1", b"x")).await.is_replay());
}

async fn a_key_in_flight_is_409_both_ways(fleet: Fleet) {
    for (first, second) in [(&fleet.ours, &fleet.theirs), (&fleet.theirs, &fleet.ours)] {
        let key = uuid::Uuid::new_v4().to_string();
        let running = tokio::spawn({
            let (router, request) = (first.clone(), request("/held", &key, b""));
            async move { send(&router, request).await }
        });
        fleet.app.gate.entered.notified().await;
        let duplicate = send(second, request("/held", &key, b"")).await;
        assert_eq!(duplicate.status, StatusCode::CONFLICT);
        assert!(duplicate.headers.contains_key("retry-after"));
        fleet.app.gate.open.notify_one();
        let recorded = running.await.unwrap();
        assert_eq!(send(second, request("/held", &key, b"")).await.unmarked(), recorded);
    }
}

async fn another_request_is_422_both_ways(fleet: Fleet) {
    for (first, second) in [(&fleet.ours, &fleet.theirs), (&fleet.theirs, &fleet.ours)] {
        let key = uuid::Uuid::new_v4().to_string();
        send(first, request("/pay", &key, b"5")).await;
        for other in [request("/pay", &key, b"6"), request("/pay?x", &key, b"5"), request("/other", &key, b"5")] {
            let refused = send(second, other).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(String::from_utf8_lossy(&refused.body).contains("idempotency_key_conflict"));
        }
    }
}

const HASH: [u8; 32] = [7; 32];
const HOUR: Duration = Duration::from_secs(3600);

fn claim(lease: Duration, retention: Duration) -> Claim<'static> {
    Claim { principal: "p", key: "k", request_hash: HASH, lease, retention }
}

fn token(outcome: ClaimOutcome) -> (uuid::Uuid, u32) {
    let ClaimOutcome::Reserved { token, attempt } = outcome else { panic!("{outcome:?}") };
    (token, attempt)
}

async fn their_claim(fleet: &Fleet, lasting: Duration) -> cratestack_axum::idempotency::ReservationOutcome {
    use cratestack_axum::idempotency::IdempotencyStore;
    fleet.their_store.reserve_or_fetch("p", "k", HASH, SystemTime::now() + lasting).await.unwrap()
}

fn their_token(outcome: &cratestack_axum::idempotency::ReservationOutcome) -> uuid::Uuid {
    let cratestack_axum::idempotency::ReservationOutcome::Reserved { token } = outcome else { panic!("{outcome:?}") };
    *token
}

async fn expire(fleet: &Fleet) {
    sqlx::query(
        "UPDATE cratestack_idempotency SET created_at = created_at - INTERVAL '2 hours',
         expires_at = NOW() - INTERVAL '1 hour'",
    )
    .execute(&fleet.pool)
    .await
    .unwrap();
}

async fn their_reservation_lasts_until_it_expires(fleet: Fleet) {
    their_token(&their_claim(&fleet, HOUR).await);
    assert_eq!(fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap(), ClaimOutcome::InFlight);
    expire(&fleet).await;
    assert_eq!(token(fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap()).1, 1, "expired: a fresh key");
}

/// They take over what has expired and leave our lease column as it is. If it counted, their key would look dead to us
/// from the first moment, and a second run would start beside theirs.
async fn our_stale_lease_does_not_count_against_them(fleet: Fleet) {
    token(fleet.store.reserve(claim(Duration::from_millis(100), HOUR)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(150)).await;
    // Our second attempt counts two, and leaves a lease that ends before the row does.
    let (lease, retention) = (Duration::from_millis(200), Duration::from_millis(300));
    assert_eq!(token(fleet.store.reserve(claim(lease, retention)).await.unwrap()).1, 2);
    tokio::time::sleep(Duration::from_millis(350)).await;
    let theirs = their_token(&their_claim(&fleet, HOUR).await);
    let lease: bool = sqlx::query_scalar("SELECT lease_expires_at < NOW() FROM cratestack_idempotency")
        .fetch_one(&fleet.pool)
        .await
        .unwrap();
    assert!(lease, "the row bears a lease that has ended");
    assert_eq!(fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap(), ClaimOutcome::InFlight, "and theirs counts");
    use cratestack_axum::idempotency::IdempotencyStore as _;
    fleet.their_store.complete("p", "k", theirs, 201, &[], b"theirs").await.unwrap();
    let ClaimOutcome::Replay(record) = fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap() else { panic!() };
    assert_eq!(record.response_body, b"theirs");
}

async fn a_stale_holder_touches_nothing_both_ways(fleet: Fleet) {
    use cratestack_axum::idempotency::IdempotencyStore as _;
    let body = Bytes::from_static(b"stale");
    let finish = |token| Completion { principal: "p", key: "k", token, status: 200, headers: &[], body: &body };
    let (ours, _) = token(fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap());
    expire(&fleet).await;
    let theirs = their_token(&their_claim(&fleet, HOUR).await);
    assert_eq!(fleet.store.finish(finish(ours)).await.unwrap(), LeaseState::Lost);
    assert_eq!(fleet.store.renew("p", "k", ours, HOUR, HOUR).await.unwrap(), LeaseState::Lost);
    fleet.store.release("p", "k", ours).await.unwrap();
    expire(&fleet).await;
    let (again, _) = token(fleet.store.reserve(claim(HOUR, HOUR)).await.unwrap());
    fleet.their_store.complete("p", "k", theirs, 200, &[], b"stale").await.unwrap();
    fleet.their_store.release("p", "k", theirs).await.unwrap();
    assert_eq!(fleet.store.renew("p", "k", again, HOUR, HOUR).await.unwrap(), LeaseState::Held);
}

async fn what_cannot_be_replayed_is_a_409_there_too(fleet: Fleet) {
    let live = send(&fleet.ours, request("/events", "k1", b"")).await;
    assert_eq!((live.status, &live.body[..]), (StatusCode::OK, &b"data: x\n\n"[..]));
    for service in [&fleet.ours, &fleet.theirs] {
        let again = send(service, request("/events", "k1", b"")).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        assert!(String::from_utf8_lossy(&again.body).contains("idempotency_response_not_replayable"));
    }
    assert_eq!(fleet.app.effects.load(Ordering::SeqCst), 1);
}

/// They store the header as it is. A fleet that is mixed for a while sends bare keys.
async fn bare_keys_are_shared_and_quoted_ones_are_not(fleet: Fleet) {
    send(&fleet.theirs, request("/pay", "\"k1\"", b"x")).await;
    assert!(!send(&fleet.ours, request("/pay", "\"k1\"", b"x")).await.is_replay(), "their key has quotes");
    assert!(send(&fleet.theirs, request("/pay", "k1", b"x")).await.is_replay(), "ours has none");
}

async fn racing_services_run_each_key_once(fleet: Fleet) {
    const KEYS: usize = 100;
    let fleet = Arc::new(fleet);
    let clients = (0..KEYS * 6).map(|n| {
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move {
            let service = if n % 2 == 0 { &fleet.ours } else { &fleet.theirs };
            loop {
                let answer = send(service, request("/pay", &format!("race{}", n / 6), b"x")).await;
                match answer.status {
                    StatusCode::CREATED => return answer.headers["x-effect"].clone(),
                    StatusCode::CONFLICT => tokio::time::sleep(Duration::from_millis(5)).await,
                    other => panic!("{other}: {answer:?}"),
                }
            }
        })
    });
    let effects = futures_util::future::join_all(clients).await;
    let effects: Vec<_> = effects.into_iter().map(Result::unwrap).collect();
    for of_one_key in effects.chunks(6) {
        assert!(of_one_key.iter().all(|effect| *effect == of_one_key[0]), "{of_one_key:?}");
    }
    assert_eq!(fleet.app.effects.load(Ordering::SeqCst), KEYS);
}

/// So many at once that ours share their statements.
async fn many_at_once_run_once(fleet: Fleet) {
    const KEYS: usize = 40;
    let send = |router: &Router, key: usize| {
        let request = Request::post("/pay")
            .header("authorization", "Bearer alice")
            .header("idempotency-key", format!("k{key}"))
            .body(Body::from("paid"))
            .unwrap();
        tokio::spawn(router.clone().oneshot(request))
    };
    let mut answers = Vec::new();
    for key in 0..KEYS {
        for _ in 0..3 {
            answers.extend([send(&fleet.ours, key), send(&fleet.theirs, key)]);
        }
    }
    for answer in answers {
        let status = answer.await.unwrap().unwrap().status();
        assert!([StatusCode::CREATED, StatusCode::CONFLICT].contains(&status), "{status}");
    }
    assert_eq!(fleet.app.effects.load(Ordering::SeqCst), KEYS);
    for key in 0..KEYS {
        let (ours, theirs) = (send(&fleet.ours, key).await.unwrap(), send(&fleet.theirs, key).await.unwrap());
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!((ours.status(), theirs.status()), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(ours.headers()["x-effect"], theirs.headers()["x-effect"]);
    }
    assert_eq!(fleet.app.effects.load(Ordering::SeqCst), KEYS);
}
