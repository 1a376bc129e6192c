//! Our layer and that of `cratestack-axum` 0.8.15, each around the same service, on one table: a fleet that changes
//! one layer for the other, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cratestack_axum::idempotency::IdempotencyLayer as TheirLayer;
use cratestack_interop::TestDatabase;
use cratestack_runtime::{Idempotency, IdempotencyLayer, PostgresStore};
use cratestack_sqlx::SqlxIdempotencyStore;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use sqlx::PgPool;
use tokio::sync::Notify;
use tower::ServiceExt;

#[derive(Default)]
struct Effects {
    count: AtomicUsize,
    entered: Notify,
    open: Notify,
}

/// The service that both stand around. It knows nothing of keys.
async fn serve(State(effects): State<Arc<Effects>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if path == "/held" {
        effects.entered.notify_one();
        effects.open.notified().await;
    }
    let effect = effects.count.fetch_add(1, Ordering::SeqCst) + 1;
    let status = match path.as_str() {
        "/unauthorized" => StatusCode::UNAUTHORIZED,
        "/redirect" => StatusCode::SEE_OTHER,
        _ => StatusCode::CREATED,
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert("location", HeaderValue::from_static("/payments/1"));
    headers.append("vary", HeaderValue::from_static("accept"));
    headers.append("vary", HeaderValue::from_static("accept-language"));
    headers.insert("x-effect", HeaderValue::from(effect));
    response
}

struct Fleet {
    _database: TestDatabase,
    pool: PgPool,
    effects: Arc<Effects>,
    ours: Router,
    /// Our layer, told to record what theirs records.
    ours_all: Router,
    theirs: Router,
}

async fn fleet() -> Fleet {
    let database = TestDatabase::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let their_pool = cratestack_sqlx::sqlx::PgPool::connect(database.url()).await.unwrap();
    let their_store = SqlxIdempotencyStore::new(their_pool);
    their_store.ensure_schema().await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let effects = Arc::<Effects>::default();
    let service = Router::new().fallback(serve).with_state(Arc::clone(&effects));
    let layer = || IdempotencyLayer::new(Idempotency::new(store.clone()));
    Fleet {
        _database: database,
        pool,
        ours: service.clone().layer(layer()),
        ours_all: service.clone().layer(layer().record_all()),
        theirs: service.layer(TheirLayer::new(Arc::new(their_store), Duration::from_secs(3600))),
        effects,
    }
}

impl Fleet {
    fn effects(&self) -> usize {
        self.effects.count.load(Ordering::SeqCst)
    }

    /// Who comes first, and who second.
    fn both_ways(&self) -> [(&Router, &Router, &'static str); 2] {
        [(&self.ours, &self.theirs, "ours first"), (&self.theirs, &self.ours, "theirs first")]
    }

    /// As if the retention of every row had ended.
    async fn expire(&self) {
        let sql = "UPDATE cratestack_idempotency SET created_at = created_at - INTERVAL '2 hours',
                   expires_at = NOW() - INTERVAL '1 hour'";
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn is_replay(&self) -> bool {
        self.headers.get("idempotency-replayed").is_some_and(|mark| mark == "true")
    }

    fn unmarked(mut self) -> Self {
        self.headers.remove("idempotency-replayed");
        self
    }
}

fn request(path: &str, key: &str, body: &'static str) -> Request {
    let request = Request::post(path).header("authorization", "Bearer alice").header("idempotency-key", key);
    request.header("content-type", "text/plain").body(Body::from(body)).unwrap()
}

async fn send(router: &Router, request: Request) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let mut headers = parts.headers;
    // Made anew for every message, and so not recorded.
    headers.remove("content-length");
    Answer { status: parts.status, headers, body: body.collect().await.unwrap().to_bytes() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_either_layer_records_the_other_replays() {
    let fleet = fleet().await;
    for path in ["/pay?confirm=true", "/redirect"] {
        for (first, second, way) in fleet.both_ways() {
            let (key, before) = (format!("{way} {path}").replace(' ', "-"), fleet.effects());
            let recorded = send(first, request(path, &key, "5")).await;
            assert!(!recorded.is_replay(), "{way}");
            for service in [second, first] {
                let replayed = send(service, request(path, &key, "5")).await;
                assert!(replayed.is_replay(), "{way}");
                assert_eq!(replayed.unmarked(), recorded, "{way}");
            }
            assert_eq!(fleet.effects(), before + 1, "{way}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_either_layer_is_in_flight_and_in_conflict_at_the_other() {
    let fleet = fleet().await;
    for (first, second, way) in fleet.both_ways() {
        let key = way.replace(' ', "-");
        let held = tokio::spawn({
            let (first, request) = (first.clone(), request("/held", &key, "5"));
            async move { send(&first, request).await }
        });
        fleet.effects.entered.notified().await;
        let in_flight = send(second, request("/held", &key, "5")).await;
        assert_eq!((in_flight.status, in_flight.headers.contains_key("retry-after")), (StatusCode::CONFLICT, true));
        let assert_conflict = async || {
            for other in [request("/held", &key, "6"), request("/held?x", &key, "5"), request("/pay", &key, "5")] {
                let refused = send(second, other).await;
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{way}");
                assert!(String::from_utf8_lossy(&refused.body).contains("idempotency_key_conflict"), "{way}");
            }
        };
        assert_conflict().await;
        fleet.effects.open.notify_one();
        let recorded = held.await.unwrap();
        assert_eq!(send(second, request("/held", &key, "5")).await.unmarked(), recorded, "{way}");
        assert_conflict().await;
    }
    assert_eq!(fleet.effects(), 2);
}

/// Whoever took an expired key over has the outcome that counts, and the first one's is written nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn either_layer_takes_an_expired_key_of_the_other_over() {
    let fleet = fleet().await;
    for (first, second, way) in fleet.both_ways() {
        let key = way.replace(' ', "-");
        let stale = tokio::spawn({
            let (first, request) = (first.clone(), request("/held", &key, "5"));
            async move { send(&first, request).await }
        });
        fleet.effects.entered.notified().await;
        fleet.expire().await;
        let taken = tokio::spawn({
            let (second, request) = (second.clone(), request("/held", &key, "5"));
            async move { send(&second, request).await }
        });
        fleet.effects.entered.notified().await;
        // The gate lets in whoever came first.
        fleet.effects.open.notify_one();
        stale.await.unwrap();
        assert_eq!(send(first, request("/held", &key, "5")).await.status, StatusCode::CONFLICT, "{way}: it still runs");
        fleet.effects.open.notify_one();
        let recorded = taken.await.unwrap();
        assert_eq!(recorded.status, StatusCode::CREATED);
        for service in [first, second] {
            let replayed = send(service, request("/held", &key, "5")).await;
            assert!(replayed.is_replay(), "{way}");
            assert_eq!(replayed.unmarked(), recorded, "{way}");
        }
    }
}

/// They record whatever comes; ours does by `record_all`.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_recorded_as_the_layer_has_it_that_ran() {
    let fleet = fleet().await;
    let unauthorized = |key: &'static str| request("/unauthorized", key, "5");
    for recorder in [&fleet.theirs, &fleet.ours_all] {
        let key = if std::ptr::eq(recorder, &raw const fleet.theirs) { "theirs" } else { "ours-all" };
        let recorded = send(recorder, unauthorized(key)).await;
        assert_eq!(recorded.status, StatusCode::UNAUTHORIZED);
        for service in [&fleet.theirs, &fleet.ours, &fleet.ours_all] {
            assert_eq!(send(service, unauthorized(key)).await.unmarked(), recorded, "{key}");
        }
    }
    let before = fleet.effects();
    assert!(!send(&fleet.ours, unauthorized("ours")).await.is_replay());
    assert!(!send(&fleet.theirs, unauthorized("ours")).await.is_replay(), "the key was free");
    assert_eq!(fleet.effects(), before + 2);
}

/// Both go by `Authorization`, else by the peer, and pass what has no key, or a safe method.
#[tokio::test(flavor = "multi_thread")]
async fn callers_are_the_same_ones_and_what_is_unguarded_is() {
    let fleet = fleet().await;
    let peer = |address: &str| {
        let mut request = request("/pay", "k", "5");
        request.headers_mut().remove("authorization");
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(address.parse().unwrap()));
        request
    };
    let recorded = send(&fleet.theirs, peer("192.0.2.1:4000")).await;
    assert_eq!(send(&fleet.ours, peer("192.0.2.1:4001")).await.unmarked(), recorded);
    assert!(!send(&fleet.ours, peer("192.0.2.2:4000")).await.is_replay());
    assert!(!send(&fleet.ours, request("/pay", "k", "5")).await.is_replay());
    assert!(send(&fleet.theirs, request("/pay", "k", "5")).await.is_replay());
    for service in [&fleet.ours, &fleet.theirs] {
        for _ in 0..2 {
            let mut keyless = request("/pay", "k", "5");
            keyless.headers_mut().remove("idempotency-key");
            let mut safe = request("/pay", "k", "5");
            *safe.method_mut() = axum::http::Method::GET;
            for unguarded in [keyless, safe] {
                let answer = send(service, unguarded).await;
                assert!(answer.status == StatusCode::CREATED && !answer.is_replay());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_layers_that_race_one_runs_each_key() {
    const KEYS: usize = 60;
    let fleet = Arc::new(fleet().await);
    let callers = (0..KEYS * 4).map(|n| {
        let fleet = Arc::clone(&fleet);
        tokio::spawn(async move {
            let service = if n % 2 == 0 { &fleet.ours } else { &fleet.theirs };
            loop {
                let answer = send(service, request("/pay", &format!("race{}", n / 4), "5")).await;
                match answer.status {
                    StatusCode::CREATED => return answer.headers["x-effect"].clone(),
                    StatusCode::CONFLICT => tokio::time::sleep(Duration::from_millis(5)).await,
                    other => panic!("{other}: {answer:?}"),
                }
            }
        })
    });
    let effects: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    for of_one_key in effects.chunks(4) {
        assert!(of_one_key.iter().all(|effect| *effect == of_one_key[0]), "{of_one_key:?}");
    }
    assert_eq!(fleet.effects(), KEYS);
}
