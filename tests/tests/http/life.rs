//! The life of a guarded request: its order, a caller that goes away, a panic, a lease that ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use tokio::sync::Notify;

use crate::app::{App, eventually, held, request, send};

const BODY: &str = r#"{"amount":100}"#;

#[tokio::test]
async fn a_caller_that_hangs_up_changes_nothing() {
    let app = App::new();
    let hung_up = app.hold().await;
    hung_up.abort();
    assert!(hung_up.await.unwrap_err().is_cancelled());
    let during = app.send(held()).await;
    assert_eq!(during.code(), "idempotency_request_in_flight");
    app.gate.notify_one();
    eventually("the outcome is recorded", async || app.send(held()).await.is_replay()).await;
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn a_panic_is_500_and_gives_the_key_back() {
    let app = App::new();
    let panicked = app.send(request("k1", "/payments?panic=true", BODY)).await;
    assert_eq!(panicked.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(panicked.code(), "idempotency_handler_panicked");
    let again = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!((again.status, again.is_replay()), (StatusCode::CREATED, false));
}

#[tokio::test]
async fn of_many_at_once_one_runs() {
    let app = App::new();
    let requests = (0..200).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { app.send(request("k1", "/payments", BODY)).await })
    });
    for answer in futures_util::future::join_all(requests).await {
        let answer = answer.unwrap();
        assert!([StatusCode::CREATED, StatusCode::CONFLICT].contains(&answer.status), "{}", answer.status);
    }
    assert_eq!(app.effects(), 1);
}

/// A handler that holds its key for longer than its lease, over and over.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_the_handler_lives() {
    let app = App::over(Idempotency::new(MemoryStore::new()).lease(Duration::from_secs(3)));
    let running = app.hold().await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let during = app.send(held()).await;
        assert_eq!(during.code(), "idempotency_request_in_flight");
    }
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    assert!(app.send(held()).await.is_replay());
    assert_eq!(app.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_kept_for_its_ttl_and_no_longer() {
    let app = App::over(Idempotency::new(MemoryStore::new()).ttl(Duration::from_secs(60)));
    app.send(request("k1", "/payments", BODY)).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(app.send(request("k1", "/payments", BODY)).await.is_replay());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!app.send(request("k1", "/payments", BODY)).await.is_replay());
    assert_eq!(app.effects(), 2);
}

#[derive(Clone, FromRef)]
struct Steps {
    idempotency: Idempotency,
    order: Arc<std::sync::Mutex<Vec<&'static str>>>,
}

struct Step<const NAME: char>;

impl<const NAME: char> axum::extract::FromRequestParts<Steps> for Step<NAME> {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        steps: &Steps,
    ) -> Result<Self, Self::Rejection> {
        steps.order.lock().unwrap().push(if NAME == 'a' { "a" } else { "b" });
        if parts.headers.contains_key("x-stop") { Err(StatusCode::UNAUTHORIZED) } else { Ok(Self) }
    }
}

#[idempotent]
async fn steps(_: Step<'a'>, _: Step<'b'>, State(steps): State<Steps>) {
    steps.order.lock().unwrap().push("handler");
}

#[tokio::test]
async fn all_extractors_run_in_order_before_any_replay() {
    let state = Steps { idempotency: Idempotency::new(MemoryStore::new()), order: Arc::default() };
    let router = Router::new().route("/", post(steps)).with_state(state.clone());
    let taken = || std::mem::take(&mut *state.order.lock().unwrap());
    send(router.clone(), request("k1", "/", "")).await;
    assert_eq!(taken(), ["a", "b", "handler"]);
    assert!(send(router.clone(), request("k1", "/", "")).await.is_replay());
    assert_eq!(taken(), ["a", "b"]);
    let mut unauthorised = request("k1", "/", "");
    unauthorised.headers_mut().insert("x-stop", "1".parse().unwrap());
    assert_eq!(send(router, unauthorised).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(taken(), ["a"]);
}

#[idempotent]
async fn of_shop(Path(shop): Path<u32>, Extension(runs): Extension<Arc<AtomicUsize>>) -> String {
    format!("shop {shop}, run {}", runs.fetch_add(1, Ordering::SeqCst))
}

#[tokio::test]
async fn nested_routes_do_not_look_the_same() {
    let idempotency = Idempotency::new(MemoryStore::new());
    let runs = Arc::<AtomicUsize>::default();
    let shops = Router::new().route("/pay/{shop}", post(of_shop));
    let router = Router::new()
        .nest("/books", shops.clone())
        .nest("/games", shops)
        .layer(Extension(Arc::clone(&runs)))
        .with_state(idempotency);
    assert_eq!(send(router.clone(), request("k1", "/books/pay/1", "")).await.body, "shop 1, run 0");
    assert_eq!(send(router.clone(), request("k1", "/games/pay/1", "")).await.code(), "idempotency_key_conflict");
    assert_eq!(send(router, request("k1", "/books/pay/1", "")).await.body, "shop 1, run 0");
}

#[derive(Clone, FromRef)]
struct Blocking {
    idempotency: Idempotency,
    blocked: Arc<Notify>,
}

#[idempotent(lease = "150ms")]
async fn blocks_its_thread(State(state): State<Blocking>) -> &'static str {
    state.blocked.notify_one();
    std::thread::sleep(Duration::from_millis(600));
    "done"
}

/// A heartbeat on the handler's own task would starve, and the key be taken over while its handler runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let state = Blocking { idempotency: Idempotency::new(MemoryStore::new()), blocked: Arc::default() };
    let router = Router::new().route("/", post(blocks_its_thread)).with_state(state.clone());
    let running = tokio::spawn(send(router.clone(), request("k1", "/", "")));
    state.blocked.notified().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(send(router, request("k1", "/", "")).await.code(), "idempotency_request_in_flight");
    assert_eq!(running.await.unwrap().body, "done");
}

tokio::task_local! {
    static OF_THE_CALLER: u32;
}

/// They are there nowhere, rather than until its caller hangs up: a handler that met their end in its midst would
/// panic, with its effect made and its key given back.
#[tokio::test]
async fn a_handler_never_sees_task_local_values_of_its_caller() {
    #[idempotent]
    async fn look() -> String {
        let before = OF_THE_CALLER.try_with(|value| *value).is_ok();
        tokio::task::yield_now().await;
        let after = OF_THE_CALLER.try_with(|value| *value).is_ok();
        format!("{before} {after}")
    }
    #[derive(Clone, FromRef)]
    struct Shop {
        idempotency: Idempotency,
    }
    let idempotency = Idempotency::new(MemoryStore::new());
    let shop = Router::new().route("/payments", post(look)).with_state(Shop { idempotency });
    let answer = OF_THE_CALLER.scope(7, send(shop, request("k1", "/payments", BODY))).await;
    assert_eq!(answer.body, "false false");
}
