//! A service that pays, and what the world outside of it has seen.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::FromRef;
use axum::routing::post;
use axum::{Json, Router};
use cratestack_runtime::schema::KeyPrefix;
use cratestack_runtime::testing::{Crash, Service, TestStore};
use cratestack_runtime::{Idempotency, MemoryStore, PostgresStore, RedisStore, Reservation, SqliteStore, idempotent};
use cratestack_tests::{TestDatabase, TestRedis};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::sync::Semaphore;

/// Outlives every process.
#[derive(Clone)]
pub struct World {
    charges: Arc<Mutex<Vec<u32>>>,
    crash: Crash,
    /// What a handler that stalls waits for.
    pub gate: Arc<Semaphore>,
}

impl World {
    pub fn new() -> Self {
        Self { charges: Arc::default(), crash: Crash::once(), gate: Arc::new(Semaphore::new(0)) }
    }

    pub fn charge(&self, attempt: u32) {
        self.charges.lock().unwrap().push(attempt);
    }

    /// Of each charge, which attempt made it.
    pub fn charges(&self) -> Vec<u32> {
        self.charges.lock().unwrap().clone()
    }
}

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    world: World,
}

#[idempotent(wait = "30s")]
async fn pay(world: axum::extract::State<World>, reservation: Reservation, Json(payment): Json<Value>) -> Json<Value> {
    world.charge(reservation.attempt());
    tokio::time::sleep(Duration::from_millis(20)).await;
    Json(json!({"paid": payment["amount"], "as": uuid::Uuid::new_v4()}))
}

/// The crash is met after the charge. A task of its goes on where the process does.
#[idempotent]
async fn crash(world: axum::extract::State<World>, reservation: Reservation) -> &'static str {
    world.charge(reservation.attempt());
    let afterwards = world.clone();
    let later = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        afterwards.charge(99);
    });
    world.crash.here().await;
    later.abort();
    "charged"
}

#[idempotent(lease = "100ms", record = success)]
async fn refuse(world: axum::extract::State<World>, reservation: Reservation) -> axum::http::StatusCode {
    world.charge(reservation.attempt());
    axum::http::StatusCode::BAD_GATEWAY
}

/// The first of them stalls.
#[idempotent(wait = "30s")]
async fn stall(world: axum::extract::State<World>, reservation: Reservation) -> String {
    world.charge(reservation.attempt());
    if reservation.attempt() == 1 {
        world.gate.acquire().await.unwrap().forget();
    }
    format!("attempt {}", reservation.attempt())
}

pub fn app(world: &World) -> impl Fn(Idempotency) -> Router + use<> {
    let world = world.clone();
    move |idempotency| {
        Router::new()
            .route("/payments", post(pay))
            .route("/crash", post(crash))
            .route("/refuse", post(refuse))
            .route("/stall", post(stall))
            .with_state(App { idempotency, world: world.clone() })
    }
}

pub fn service<S: TestStore>(store: S, world: &World) -> Service<S> {
    Service::new(store, app(world))
}

pub fn on_memory() -> impl Future<Output = (MemoryStore, ())> {
    std::future::ready((MemoryStore::new(), ()))
}

pub async fn on_sqlite() -> (SqliteStore, (sqlx::SqlitePool, tempfile::TempDir)) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("service.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, (pool, folder))
}

pub async fn on_postgres() -> (PostgresStore, (sqlx::PgPool, TestDatabase)) {
    let database = TestDatabase::create().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, (pool, database))
}

pub async fn on_redis() -> (RedisStore, TestRedis) {
    let redis = TestRedis::connect().await;
    let prefix = KeyPrefix::new(format!("{}:", redis.prefix())).unwrap();
    (RedisStore::new(redis::Client::open(redis.url()).unwrap()).prefix(prefix), redis)
}

/// Each test, over each store.
#[macro_export]
macro_rules! over_each_store {
    ($($name:ident,)*) => {
        over_each_store!(@ memory, on_memory: $($name,)*);
        over_each_store!(@ sqlite, on_sqlite: $($name,)*);
        over_each_store!(@ postgres, on_postgres: $($name,)*);
        over_each_store!(@ redis, on_redis: $($name,)*);
    };
    (@ $module:ident, $open:ident: $($name:ident,)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _keep) = $crate::world::$open().await;
                    super::$name(store).await;
                }
            )*
        }
    };
}
