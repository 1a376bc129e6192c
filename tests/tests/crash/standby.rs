//! A service whose connections lead to a standby, for a while: what is not there has not failed.
//!
//! ```text
//! service │ begin ── handler ──────────── commit ✂ no answer ── what became of it? ─┐
//! primary │                             committed                                  │
//! standby │                       new connections lead here ───────────────────────┴─ nothing there
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Claim, Idempotency, IdempotencyStore, PostgresStore, StoreError, Tx, idempotent};
use cratestack_tests::TestDatabase;
use cratestack_tests::postgres::{Commits, Fate, PostgresServer, Standby};
use http_body_util::BodyExt as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{PgPool, Postgres};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower::ServiceExt as _;

/// Leads each new connection to the port that it names then.
async fn switched(to: Arc<AtomicU16>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = to.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<PostgresStore>,
    signs: Arc<Signs>,
}

#[derive(Default)]
struct Signs {
    waiting: Notify,
    gate: Notify,
}

#[idempotent(transaction)]
async fn pay(mut tx: Tx<Postgres>, State(signs): State<Arc<Signs>>) -> StatusCode {
    sqlx::query("INSERT INTO payments VALUES (1)").execute(&mut *tx).await.unwrap();
    signs.waiting.notify_one();
    signs.gate.notified().await;
    StatusCode::CREATED
}

#[idempotent(transaction, isolation = serializable)]
async fn strictly(tx: Tx<Postgres>) -> StatusCode {
    drop(tx);
    StatusCode::CREATED
}

async fn ask(router: Router, path: &str, key: &str) -> (StatusCode, bool, String) {
    let request = Request::post(path).header("authorization", "Bearer alice").header("idempotency-key", key);
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers.contains_key("idempotency-replayed"), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn says_nothing_of_what_became_of_a_commit() {
    let server = PostgresServer::launch().await;
    let database = TestDatabase::create_on(&server).await;
    let direct = PgPool::connect(database.url()).await.unwrap();
    PostgresStore::new(direct.clone()).migrate().await.unwrap();
    sqlx::raw_sql("CREATE TABLE payments (n INT)").execute(&direct).await.unwrap();
    let standby = Standby::of(&server).await;

    let commits = Commits::before(database.url(), [Fate::Unanswered]).await;
    let primary: PgConnectOptions = commits.url().parse().unwrap();
    let leads_to = Arc::new(AtomicU16::new(primary.get_port()));
    let switch = switched(Arc::clone(&leads_to)).await;
    let options = primary.clone().port(switch.port()).ssl_mode(PgSslMode::Disable);
    let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(5));
    let store = PostgresStore::new(pool.connect_lazy_with(options));
    // Without a cache nothing but the handler takes a connection, which would go on leading to the primary.
    let idempotency =
        Idempotency::transactional(store.clone()).store_timeout(Duration::from_millis(500)).replay_cache_bytes(0);
    let shop = Shop { idempotency, signs: Arc::default() };
    let router = Router::new().route("/pay", post(pay)).route("/strictly", post(strictly)).with_state(shop.clone());

    let first = tokio::spawn(ask(router.clone(), "/pay", "k"));
    shop.signs.waiting.notified().await;
    leads_to.store(standby.port(), Ordering::SeqCst);
    shop.signs.gate.notify_one();
    commits.met(1).await;
    let (status, _, body) = first.await.unwrap();
    assert!(body.contains("idempotency_outcome_unknown"), "{status} {body}");

    // Nor does anything begin there, in any mode.
    for path in ["/pay", "/strictly"] {
        let (status, _, body) = ask(router.clone(), path, "another").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {body}");
    }
    let (lease, retention) = (Duration::from_secs(30), Duration::from_secs(60));
    let claim = Claim { principal: "p", key: "k", request_hash: [1; 32], lease, retention };
    let reserved = store.reserve(claim).await;
    assert!(matches!(reserved, Err(StoreError::Unavailable(_))), "{reserved:?}");

    // The pool's connections to the standby end with it.
    leads_to.store(primary.get_port(), Ordering::SeqCst);
    drop(standby);
    let (status, replayed, body) = ask(router, "/pay", "k").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, true), "{body}");
    let payments: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(&direct).await.unwrap();
    assert_eq!(payments, 1);
}
