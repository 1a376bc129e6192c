//! Whole requests, from the router in: the guard with its store. No socket, which would hide what is measured.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use bytes::Bytes;
use cratestack_axum::idempotency as peer;
use cratestack_axum::idempotency::IdempotencyLayer;
use cratestack_core::CratestackError;
use cratestack_runtime::{
    Idempotency, IdempotencyStore as _, MemoryStore, ReservationOutcome, StoreError, async_trait, idempotent,
};
use http_body_util::BodyExt;
use ruts::store::moka::MokaStore;
use ruts::{CookieOptions, SessionLayer};
use tower::ServiceExt;
use tower_cookies::CookieManagerLayer;

use crate::Fallible;
use crate::figure::{Contender, Figure, Limit, Measure};
use crate::load::{Call, Load, drive};
use crate::sample::{Quantity, Sample};
use crate::server::{Ours, Theirs};
use crate::traffic::{BODY, RETENTION, new_key};

/// Of a kibibyte.
static REQUEST: Bytes = Bytes::from_static(&[b'r'; 1024]);

pub fn requests(ours: &Arc<Ours>, theirs: &Arc<Theirs>) -> Vec<Figure> {
    let postgres = |callers: usize, least: f64, p99: Option<f64>| Figure {
        name: format!("request-postgres-{callers}"),
        title: format!("a guarded request on Postgres, callers: {callers}"),
        callers,
        rate: None,
        contenders: vec![
            on_postgres("ours", Database::Ours(Arc::clone(ours))),
            on_postgres("cratestack-axum", Database::Theirs(Arc::clone(theirs))),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(least)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, p99.map(Limit::AtMost)),
        ],
    };
    vec![postgres(1, 1.0, Some(1.0)), postgres(64, 3.0, None)]
}

pub fn request_in_memory() -> Figure {
    Figure {
        name: "request-memory-64".to_owned(),
        title: "a guarded request in memory, callers: 64".to_owned(),
        callers: 64,
        rate: None,
        contenders: in_memory(),
        measures: vec![
            Measure::ratio(Quantity::Throughput, None),
            Measure::ratio(Quantity::Throughput, None).against(2),
            Measure::ratio(Quantity::Throughput, None).against(3),
        ],
    }
}

/// Retries of requests whose outcome this process has seen before.
pub fn seen(ours: Arc<Ours>, theirs: Arc<Theirs>) -> Figure {
    Figure {
        name: "replay-seen-16".to_owned(),
        title: "a retried request whose outcome this process has seen before, callers: 16".to_owned(),
        callers: 16,
        rate: None,
        contenders: vec![
            Http::retried("ours", Database::Ours(ours).router()()),
            Http::retried("cratestack-axum", Database::Theirs(theirs).router()()),
        ],
        measures: vec![
            Measure::ratio(Quantity::Throughput, Limit::AtLeast(20.0)),
            Measure::ratio(Quantity::P50, None),
            Measure::ratio(Quantity::P99, None),
        ],
    }
}

/// The guard alone: one request after the other on one thread.
pub fn guard() -> Vec<Figure> {
    let alone = |contender| Box::new(Alone(contender)) as Box<dyn Contender>;
    let handlers = Figure {
        name: "guard-memory".to_owned(),
        title: "the guard over the bare handler, memory store, 1 KiB body, one thread".to_owned(),
        callers: 1,
        rate: None,
        contenders: memory_contenders().into_iter().map(alone).collect(),
        measures: vec![
            Measure::difference(Quantity::P50, Limit::Below(4.0)),
            Measure::difference(Quantity::Allocations, Limit::AtMost(12.0)),
            Measure::ratio(Quantity::P50, None).against(2),
            Measure::ratio(Quantity::P50, Limit::AtMost(1.2)).against(3),
        ],
    };
    let layers = Figure {
        name: "guard-layer-memory".to_owned(),
        title: "the layer over the bare service, memory store, 1 KiB body, one thread".to_owned(),
        callers: 1,
        rate: None,
        contenders: layer_contenders().into_iter().map(alone).collect(),
        measures: vec![
            Measure::difference(Quantity::P50, Limit::AtMost(5.0)),
            Measure::difference(Quantity::Allocations, None),
            Measure::ratio(Quantity::P50, None).against(2),
        ],
    };
    vec![handlers, layers]
}

/// Our layer, the bare handler, and the peer's layer.
fn layer_contenders() -> Vec<Http> {
    let [_, bare, _, theirs] = memory_contenders().try_into().unwrap_or_else(|_| unreachable!("there are four"));
    let ours = Http {
        name: "our layer, MemoryStore".to_owned(),
        router: Box::new(|| {
            let layer = cratestack_runtime::IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
            Router::new().route("/payments", post(pay)).layer(layer)
        }),
        database: None,
        retried: false,
    };
    vec![ours, bare, theirs]
}

fn in_memory() -> Vec<Box<dyn Contender>> {
    memory_contenders().into_iter().map(|contender| Box::new(contender) as Box<dyn Contender>).collect()
}

/// Ours, the bare handler, and the peers.
fn memory_contenders() -> Vec<Http> {
    let http = |name: &str, router: fn() -> Router| Http {
        name: name.to_owned(),
        router: Box::new(router),
        database: None,
        retried: false,
    };
    vec![
        http("ours, MemoryStore", || guarded(Idempotency::new(MemoryStore::new()))),
        http("the bare handler", || Router::new().route("/payments", post(pay))),
        http("axum-idempotent, MokaStore", with_sessions),
        http("cratestack-axum, our MemoryStore", || {
            let layer = IdempotencyLayer::new(Arc::new(TheirMemory(MemoryStore::new())), RETENTION);
            Router::new().route("/payments", post(pay)).layer(layer)
        }),
    ]
}

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent]
async fn pay_once(body: Bytes) -> Response {
    pay(body).await
}

pub(super) async fn pay(body: Bytes) -> Response {
    let headers = [("content-type", "application/json"), ("location", "/payments/8e03978e")];
    // So that nothing is answered before the body is there.
    assert_eq!(body.len(), REQUEST.len());
    (StatusCode::CREATED, headers, BODY.clone()).into_response()
}

pub(super) fn guarded(idempotency: Idempotency) -> Router {
    Router::new().route("/payments", post(pay_once)).with_state(App { idempotency })
}

/// As its documentation sets it up, with room for all that a run records and the header as the key.
fn with_sessions() -> Router {
    let store = Arc::new(MokaStore::builder().max_capacity(100_000_000).build());
    let options = IdempotentOptions::default().expire_after(24 * 60 * 60).use_idempotency_key_header(None, true);
    let cookie = CookieOptions::build().name("session").max_age(24 * 60 * 60).path("/");
    Router::new()
        .route("/payments", post(pay))
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .layer(SessionLayer::new(store).with_cookie_options(cookie))
        .layer(CookieManagerLayer::new())
}

fn on_postgres(name: &str, database: Database) -> Box<dyn Contender> {
    let router = database.router();
    Box::new(Http { name: name.to_owned(), router: Box::new(router), database: Some(database), retried: false })
}

#[derive(Clone)]
pub enum Database {
    Ours(Arc<Ours>),
    Theirs(Arc<Theirs>),
}

impl Database {
    async fn empty(&self) -> Fallible {
        match self {
            Self::Ours(ours) => ours.empty().await,
            Self::Theirs(theirs) => theirs.empty().await,
        }
    }

    fn router(&self) -> impl Fn() -> Router + Send + Sync + use<> {
        let database = self.clone();
        move || match &database {
            Self::Ours(ours) => guarded(Idempotency::new(ours.store())),
            Self::Theirs(theirs) => {
                let layer = IdempotencyLayer::new(Arc::new(theirs.store()), RETENTION);
                Router::new().route("/payments", post(pay)).layer(layer)
            }
        }
    }
}

/// A service, and whatever it keeps its outcomes in.
pub struct Http {
    name: String,
    router: Box<dyn Fn() -> Router + Send + Sync>,
    database: Option<Database>,
    /// Whether all requests are retries of a few.
    retried: bool,
}

impl Http {
    /// A service that is asked something new each time, and its database, which is emptied before each run.
    pub fn on_database(name: &str, database: Database, router: Router) -> Box<dyn Contender> {
        let router = Box::new(move || router.clone());
        Box::new(Self { name: name.to_owned(), router, database: Some(database), retried: false })
    }

    /// A service that is asked the same few things again and again.
    pub fn retried(name: &str, router: Router) -> Box<dyn Contender> {
        // One router for all runs, as what it has seen is what this is about.
        let router = Box::new(move || router.clone());
        Box::new(Self { name: name.to_owned(), router, database: None, retried: true })
    }
}

const RETRIED: usize = 1_000;

#[async_trait]
impl Contender for Http {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn prepare(&self) -> Fallible {
        match &self.database {
            _ if self.retried => {}
            Some(database) => return database.empty().await,
            None => return Ok(()),
        }
        let router = (self.router)();
        for n in 0..RETRIED {
            answered(&router, &retried_key(n)).await?;
        }
        Ok(())
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let (router, retried) = ((self.router)(), self.retried);
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        drive(load, move || {
            let router = router.clone();
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move {
                let key = if retried { retried_key(n % RETRIED) } else { new_key() };
                let begun = Instant::now();
                let replayed = answered(&router, &key).await?;
                let took = begun.elapsed();
                if replayed == retried { Ok(Call::Took(took)) } else { Err("replayed and new are mixed up".into()) }
            }
        })
        .await
    }
}

fn retried_key(n: usize) -> String {
    format!("retried-{n}")
}

/// Sends one request, reads the answer, and says whether it is a replay.
async fn answered(router: &Router, key: &str) -> Fallible<bool> {
    let response = router.clone().oneshot(request(key)?).await.unwrap_or_else(|never: Infallible| match never {});
    if response.status() != StatusCode::CREATED {
        return Err(format!("answered {}", response.status()).into());
    }
    let replayed = response.headers().contains_key("idempotency-replayed");
    response.into_body().collect().await?;
    Ok(replayed)
}

/// The same for every service. The cookie is what `axum-idempotent` tells callers apart by; each request is of a caller
/// of its own, because it looks through all that a caller has when it records.
fn request(key: &str) -> Fallible<Request> {
    Ok(Request::post("/payments")
        .header("authorization", "Bearer 4b1d5f9c2e7a4c55")
        .header("content-type", "application/json")
        .header("cookie", format!("session={}", ruts::Id::default()))
        .header("idempotency-key", key)
        .body(Body::from(REQUEST.clone()))?)
}

/// On one thread, where nothing waits for a wake-up of another: what is left is the work.
struct Alone(Http);

#[async_trait]
impl Contender for Alone {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn run(&self, load: Load) -> Fallible<Sample> {
        let router = (self.0.router)();
        tokio::task::spawn_blocking(move || alone(load.lasting, async || answered_in(&router, &new_key()).await))
            .await?
    }
}

const COUNTED: u64 = 1_000;

/// Sends one request, and says how long its answer took.
pub(super) async fn answered_in(router: &Router, key: &str) -> Fallible<Duration> {
    let begun = Instant::now();
    answered(router, key).await?;
    Ok(begun.elapsed())
}

/// One `call` after the other on this thread; each says how long it took.
pub(super) fn alone(lasting: Duration, call: impl AsyncFn() -> Fallible<Duration>) -> Fallible<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for _ in 0..10_000 {
            call().await?;
        }
        Fallible::Ok(())
    })?;
    let mut counted: Fallible = Ok(());
    let allocations = allocation_counter::measure(|| {
        counted = runtime.block_on(async {
            for _ in 0..COUNTED {
                call().await?;
            }
            Ok(())
        });
    });
    counted?;
    let begun = Instant::now();
    let latencies = runtime.block_on(async {
        let mut latencies = Vec::new();
        while begun.elapsed() < lasting {
            latencies.push(call().await?);
        }
        Fallible::Ok(latencies)
    })?;
    let mut sample = Sample::new(latencies, begun.elapsed(), Default::default());
    #[allow(clippy::cast_precision_loss)]
    let per_call = allocations.count_total as f64 / COUNTED as f64;
    sample.allocations = Some(per_call);
    Ok(sample)
}

/// Our store behind the peer's trait, for a comparison of the two guards alone: the peer publishes no store in memory.
struct TheirMemory(MemoryStore);

#[async_trait]
impl peer::IdempotencyStore for TheirMemory {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<peer::ReservationOutcome, CratestackError> {
        match self.0.reserve_or_fetch(principal, key, request_hash, expires_at).await.map_err(|error| theirs(&error))? {
            ReservationOutcome::Reserved { token } => Ok(peer::ReservationOutcome::Reserved { token }),
            other => Err(CratestackError::Internal(format!("only new keys are asked for, and got {other:?}"))),
        }
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: uuid::Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), CratestackError> {
        self.0.complete(principal, key, token, status, headers, body).await.map_err(|error| theirs(&error))
    }

    async fn release(&self, principal: &str, key: &str, token: uuid::Uuid) -> Result<(), CratestackError> {
        self.0.release(principal, key, token).await.map_err(|error| theirs(&error))
    }
}

fn theirs(error: &StoreError) -> CratestackError {
    CratestackError::Internal(error.to_string())
}
