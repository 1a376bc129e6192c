//! Databases for the tests of this binary, and a guarded handler over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, PostgresStore, SqliteStore, idempotent};
use cratestack_tests::postgres::{PostgresServer, TestDatabase};
use http_body_util::BodyExt;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{PgPool, SqlitePool};
use tokio::sync::Notify;
use tower::ServiceExt;

pub async fn postgres_pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(60))
        .connect(url)
        .await
        .unwrap()
}

pub async fn postgres(connections: u32) -> (TestDatabase, PgPool, PostgresStore) {
    let database = TestDatabase::create().await;
    let pool = postgres_pool(database.url(), connections).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

pub async fn postgres_on(server: &PostgresServer, connections: u32) -> (TestDatabase, PgPool, PostgresStore) {
    let database = TestDatabase::create_on(server).await;
    let pool = postgres_pool(database.url(), connections).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

pub async fn sqlite(connections: u32) -> (tempfile::TempDir, SqlitePool, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("test.db"))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(60))
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    (folder, pool, store)
}

/// A process of a fleet: a handle of its own on a store, and a handler that counts its effects.
#[derive(Clone)]
pub struct Service {
    pub idempotency: Idempotency,
    pub effects: Arc<AtomicUsize>,
    pub gate: Arc<Notify>,
    pub waiting: Arc<Notify>,
}

impl FromRef<Service> for Idempotency {
    fn from_ref(service: &Service) -> Self {
        service.idempotency.clone()
    }
}

impl Service {
    pub fn over(idempotency: Idempotency) -> Self {
        Self { idempotency, effects: Arc::default(), gate: Arc::default(), waiting: Arc::default() }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/pay", post(pay))
            .route("/held", post(held))
            .route("/patient", post(patient))
            .with_state(self.clone())
    }

    pub async fn post(&self, path: &str, key: &str) -> (StatusCode, HeaderMap, Bytes) {
        let request = Request::post(path)
            .header("authorization", "Bearer alice")
            .header("idempotency-key", key)
            .body(Body::empty())
            .unwrap();
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    pub fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }
}

#[idempotent]
async fn pay(State(service): State<Service>) -> (StatusCode, String) {
    let effect = service.effects.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, format!("effect {effect}"))
}

/// Waits at the gate.
#[idempotent]
async fn held(State(service): State<Service>) -> (StatusCode, String) {
    hold(service).await
}

/// Waits at the gate, and its duplicates wait for it.
#[idempotent(wait = "20s")]
async fn patient(State(service): State<Service>) -> (StatusCode, String) {
    hold(service).await
}

async fn hold(service: Service) -> (StatusCode, String) {
    service.waiting.notify_one();
    service.gate.notified().await;
    let effect = service.effects.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, format!("effect {effect}"))
}
