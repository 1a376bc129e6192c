//! A commit without an answer, as a client is told of it: with a key it may send again, and without one it may not.

use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Router, extract::FromRef};
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::postgres::{Commits, Fate};
use cratestack_tests::{Client, TestDatabase};
use sqlx::{Postgres, postgres::PgPoolOptions};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<PostgresStore>,
}

#[idempotent(transaction, lease = "1h", optional, principal = "shop")]
async fn pay(mut tx: Tx<Postgres>) -> StatusCode {
    sqlx::raw_sql("CREATE TABLE payments (id INT)").execute(&mut *tx).await.unwrap();
    StatusCode::CREATED
}

/// A service whose next commit arrives later than it waits for the answer.
async fn service(database: &TestDatabase) -> (Commits, Client) {
    let pool = PgPoolOptions::new().connect(database.url()).await.unwrap();
    PostgresStore::new(pool).migrate().await.unwrap();
    let proxy = Commits::before(database.url(), [Fate::Late(Duration::from_secs(4))]).await;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(2));
    let store = PostgresStore::new(pool.connect_lazy(proxy.url()).unwrap());
    let idempotency = Idempotency::transactional(store).store_timeout(Duration::from_millis(300));
    let router = Router::new().route("/pay", post(pay)).with_state(Shop { idempotency });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (proxy, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_may_be_asked_for_again_under_its_key() {
    let database = TestDatabase::create().await;
    let (_proxy, client) = service(&database).await;
    let pay = client.post("/pay").key("k1");
    let unknown = pay.send().await.unwrap();
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "idempotency_outcome_unknown")
    );
    assert_eq!((&unknown.json()["retryable"], unknown.header("retry-after")), (&true.into(), Some("5")));
    crate::bank::eventually("the outcome is replayed", async || pay.send().await.unwrap().is_replay()).await;
}

/// A retry would be another request, and run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_without_a_key_may_not_be_sent_again() {
    let database = TestDatabase::create().await;
    let (_proxy, client) = service(&database).await;
    let unknown = client.post("/pay").send().await.unwrap();
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "idempotency_outcome_unknown")
    );
    assert_eq!((&unknown.json()["retryable"], unknown.header("retry-after")), (&false.into(), None));
    let detail = unknown.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("look whether it has taken effect before you send it again"), "{detail}");
}
