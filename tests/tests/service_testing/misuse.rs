//! A test that has gone wrong is told how.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::routing::post;
use cratestack_runtime::testing::{Crash, Service};
use cratestack_runtime::{Idempotency, MemoryStore, SqliteStore, idempotent};
use futures_util::FutureExt as _;

use crate::world::{World, service};

/// What a test is told that goes so far.
async fn panic_of(gone_wrong: impl Future<Output: std::fmt::Debug>) -> String {
    let payload = AssertUnwindSafe(gone_wrong).catch_unwind().await.expect_err("it goes wrong");
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a text")
}

#[track_caller]
fn assert_says(panic: &str, what: &[&str]) {
    for part in what {
        assert!(panic.contains(part), "{part:?} is not in {panic:?}");
    }
}

#[idempotent]
async fn pay() -> &'static str {
    "paid"
}

async fn bare() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn app(idempotency: Idempotency) -> Router {
    Router::new()
        .route("/payments", post(pay))
        .route("/bare", post(bare))
        .route("/broken", post(async || -> () { panic!("broken on purpose") }))
        .with_state(idempotency)
}

#[tokio::test]
async fn a_bare_handler_is_no_replay() {
    let service = Service::new(MemoryStore::new(), app);
    let twice = panic_of(service.post("/bare").key("k1").twice()).await;
    assert_says(&twice, &["the retry of POST /bare is no replay", "200"]);
    let at_once = panic_of(service.post("/bare").key("k1").at_once(3)).await;
    assert_says(&at_once, &["POST /bare was answered by 3 runs of the handler"]);
}

#[tokio::test]
async fn a_first_answer_is_no_replay() {
    let service = Service::new(MemoryStore::new(), app);
    let payment = service.post("/payments").key("k1");
    payment.twice().await;
    assert_says(&panic_of(payment.twice()).await, &["POST /payments was sent before"]);
}

#[tokio::test]
async fn what_does_not_crash_is_told_with_its_answer() {
    let service = Service::new(MemoryStore::new(), app);
    let payment = service.post("/payments");
    let crash = panic_of(payment.clone().key("k1").crash()).await;
    assert_says(&crash, &["POST /payments was answered", "`Crash::here`", "paid"]);
    let refused = panic_of(payment.crash_before_recording()).await;
    assert_says(&refused, &["no run of a guarded handler came to its end", "idempotency_key_missing"]);
    let fine = payment.key("k2").send().await;
    assert_eq!(fine.status(), 200, "the next run is not the one that was to crash");
}

#[tokio::test]
async fn a_router_on_another_handle_is_told() {
    let service = Service::new(MemoryStore::new(), |_| app(Idempotency::new(MemoryStore::new())));
    let told = panic_of(service.post("/payments").key("k1").crash_before_recording()).await;
    assert_says(&told, &["not built on the `Idempotency` that it is given"]);
}

#[tokio::test]
async fn a_crash_that_was_not_expected_is_told() {
    let world = World::new();
    let service = service(MemoryStore::new(), &world);
    let told = panic_of(service.post("/crash").key("k1").send()).await;
    assert_says(&told, &["POST /crash was not answered: the process died", "`crash()` expects that"]);
    assert_eq!(service.post("/crash").key("k2").send().await.status(), 200, "the next process answers");
}

#[tokio::test]
async fn a_crash_outside_of_a_service_is_told() {
    let crash = Crash::once();
    assert_says(&panic_of(crash.here()).await, &["outside a `testing::Service`"]);
    crash.here().await;
}

#[tokio::test]
async fn a_panic_around_the_guard_is_a_cut_connection() {
    let service = Service::new(MemoryStore::new(), app);
    assert_says(&panic_of(service.post("/broken").send()).await, &["the connection was cut"]);
    assert_eq!(service.post("/payments").key("k1").send().await.status(), 200, "the process lives");
}

#[tokio::test]
async fn a_panic_of_what_builds_the_router_is_the_tests_own() {
    let service = Service::new(MemoryStore::new(), |_| panic!("no router today"));
    assert_says(&panic_of(service.post("/payments").send()).await, &["no router today"]);
}

#[tokio::test]
async fn a_database_in_memory_cannot_outlive_its_process() {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::new(pool);
    store.migrate().await.unwrap();
    let service = Service::new(store, app);
    let payment = service.post("/payments").key("k1");
    payment.twice().await;
    let told = panic_of(service.post("/payments").key("k2").crash_before_recording()).await;
    assert_says(&told, &["in memory ends with its process; use a file"]);
}

#[tokio::test]
async fn what_is_no_request_is_told() {
    let service = Service::new(MemoryStore::new(), app);
    assert_says(&panic_of(async { service.get("payments") }).await, &["\"payments\" is no path"]);
    assert_says(&panic_of(async { service.get("/").header("a b", "c") }).await, &["`a b: \"c\"` is no header"]);
    assert_says(&panic_of(async { service.get("/").key("a\nb") }).await, &["is no header"]);
}
