//! Stores for the tests of this binary, and guarded handlers over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::schema::KeyPrefix;
use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, LeaseState, RedisStore, StoreError, idempotent,
};
use cratestack_tests::redis::{RedisCluster, RedisSentinels, RedisServer, TestRedis};
use http_body_util::BodyExt;
use redis::sentinel::{SentinelClient, SentinelServerType};
use tokio::sync::Notify;
use tower::ServiceExt;
use uuid::Uuid;

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);

/// On the server that all tests share, under a prefix of its own.
pub async fn shared() -> (TestRedis, RedisStore) {
    let redis = TestRedis::connect().await;
    let prefix = KeyPrefix::new(format!("{}:", redis.prefix())).unwrap();
    let store = RedisStore::new(redis::Client::open(redis.url()).unwrap()).prefix(prefix);
    (redis, store)
}

pub fn on(server: &RedisServer) -> RedisStore {
    RedisStore::new(server.client())
}

pub fn through(sentinels: &RedisSentinels) -> RedisStore {
    let name = sentinels.name().to_owned();
    RedisStore::sentinel(SentinelClient::build(sentinels.urls(), name, None, SentinelServerType::Master).unwrap())
}

pub fn on_cluster(cluster: &RedisCluster) -> RedisStore {
    RedisStore::cluster(cluster.clients()).unwrap()
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
        Router::new().route("/pay", post(pay)).route("/patient", post(patient)).with_state(self.clone())
    }

    pub async fn post(&self, path: &str, key: &str) -> (StatusCode, HeaderMap, Bytes) {
        let request = Request::post(path).header("authorization", "Bearer alice").header("idempotency-key", key);
        let response = self.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
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

/// Waits at the gate, and its duplicates wait for it.
#[idempotent(wait = "20s")]
async fn patient(State(service): State<Service>) -> (StatusCode, String) {
    service.waiting.notify_one();
    service.gate.notified().await;
    let effect = service.effects.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, format!("effect {effect}"))
}

pub fn claim(key: &str, lease: Duration) -> Claim<'_> {
    Claim { principal: "p", key, request_hash: [1; 32], lease, retention: HOUR }
}

pub async fn reserve(store: &RedisStore, key: &str, lease: Duration) -> Uuid {
    match store.reserve(claim(key, lease)).await {
        Ok(ClaimOutcome::Reserved { token, .. }) => token,
        other => panic!("{key}: {other:?}"),
    }
}

pub async fn finish(store: &RedisStore, key: &str, token: Uuid) -> Result<LeaseState, StoreError> {
    let body = Bytes::from(format!("done {key}"));
    store.finish(Completion { principal: "p", key, token, status: 201, headers: &[0; 4], body: &body }).await
}

/// Tries for half a minute.
pub async fn until<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1_500 {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within half a minute: {what}");
}

/// How often a server was told each command since it was reset.
pub async fn commands(server: &RedisServer) -> Vec<(String, u64)> {
    let stats: String = server.tell("INFO commandstats").await;
    let counted = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    });
    // Those of the test itself.
    counted.filter(|(name, _)| !name.starts_with("config") && name != "info" && name != "client|setinfo").collect()
}

/// Of those that come over the network: what scripts call is counted too.
pub fn sent(commands: &[(String, u64)]) -> u64 {
    const SENT: [&str; 8] =
        ["evalsha", "eval", "subscribe", "unsubscribe", "ssubscribe", "sunsubscribe", "scan", "wait"];
    commands.iter().filter(|(name, _)| SENT.contains(&name.as_str())).map(|(_, count)| count).sum()
}
