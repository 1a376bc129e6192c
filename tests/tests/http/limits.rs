//! The bounds on what one process has under way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

use crate::app::{App, held, request, send};
use crate::failing_store::{FailingStore, Failure};

const BODY: &str = r#"{"amount":100}"#;

#[idempotent(wait = "5s")]
async fn wait(State(app): State<App>) -> String {
    app.waiting.notify_one();
    app.gate.notified().await;
    app.effects.fetch_add(1, Ordering::SeqCst).to_string()
}

/// Whoever hangs up leaves a handler running, which counts.
#[tokio::test(start_paused = true)]
async fn more_handlers_than_may_run_are_refused_before_anything_is_reserved() {
    let app = App::over(Idempotency::new(MemoryStore::new()).max_running(2));
    for key in ["k1", "k2"] {
        let running = tokio::spawn({
            let app = app.clone();
            async move { app.send(request(key, "/payments?wait=true", BODY)).await }
        });
        app.waiting.notified().await;
        running.abort();
    }
    let refused = app.send(request("k3", "/payments", BODY)).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "idempotency_overloaded"));
    assert!(refused.header("retry-after").is_some());
    let duplicate = app.send(request("k1", "/payments?wait=true", BODY)).await;
    assert_eq!(duplicate.code(), "idempotency_request_in_flight", "which needs no place");
    app.gate.notify_one();
    app.gate.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.gate.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.effects(), 2, "what runs is not cut off");
    let another = app.send(request("k3", "/payments", r#"{"amount":7}"#)).await;
    assert_eq!(another.status, StatusCode::CREATED, "nothing was reserved for another request");
}

#[tokio::test(start_paused = true)]
async fn as_many_duplicates_wait_as_handlers_may_run() {
    let app = App::over(Idempotency::new(MemoryStore::new()).max_running(3));
    let router = Router::new().route("/wait", post(wait)).with_state(app.clone());
    let ask = || tokio::spawn(send(router.clone(), request("k1", "/wait", "")));
    let first = ask();
    app.waiting.notified().await;
    let waiting: Vec<_> = (0..3).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(ask().await.unwrap().code(), "idempotency_request_in_flight");
    assert!(begun.elapsed().is_zero(), "at once");
    app.gate.notify_one();
    for waiter in waiting {
        assert!(waiter.await.unwrap().is_replay());
    }
    assert_eq!(first.await.unwrap().body, "0");
}

#[idempotent]
async fn large(State(app): State<App>) -> Vec<u8> {
    app.effects.fetch_add(1, Ordering::SeqCst);
    app.waiting.notify_one();
    app.gate.notified().await;
    vec![b'x'; 1_000_000]
}

/// Each outcome is a megabyte, the room is two, and the store is away.
#[tokio::test(start_paused = true)]
async fn outcomes_that_cannot_be_written_leave_no_room_for_new_runs_and_are_all_kept() {
    let store = Arc::new(FailingStore::default());
    let idempotency = Idempotency::new(Arc::clone(&store)).max_pending_bytes(2_000_000);
    let app = App::over(idempotency);
    let router = Router::new().route("/large", post(large)).with_state(app.clone());
    let mut running = Vec::new();
    for key in ["k1", "k2"] {
        running.push((key, tokio::spawn(send(router.clone(), request(key, "/large", "")))));
        app.waiting.notified().await;
    }
    store.fail_every_write(Failure::Refused);
    app.gate.notify_waiters();
    let mut told = Vec::new();
    for (key, running) in running {
        told.push((key, running.await.unwrap()));
    }
    let refused = send(router.clone(), request("k3", "/large", "")).await;
    assert_eq!(refused.code(), "idempotency_overloaded");
    store.mend_every_write();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let elsewhere = App::over(Idempotency::new(Arc::clone(&store)));
    let elsewhere = Router::new().route("/large", post(large)).with_state(elsewhere);
    for (key, answer) in told {
        let replay = send(elsewhere.clone(), request(key, "/large", "")).await;
        assert_eq!((replay.is_replay(), replay.body), (true, answer.body));
    }
    app.gate.notify_one();
    assert_eq!(send(router, request("k3", "/large", "")).await.status, StatusCode::OK, "there is room again");
    assert_eq!(app.effects(), 3);
}

/// A bound of nothing refuses everything, and says which it is in the log only.
#[tokio::test]
async fn a_bound_of_nothing_lets_nothing_run() {
    for idempotency in
        [Idempotency::new(MemoryStore::new()).max_running(0), Idempotency::new(MemoryStore::new()).max_pending_bytes(0)]
    {
        let app = App::over(idempotency);
        assert_eq!(app.send(request("k1", "/payments", BODY)).await.code(), "idempotency_overloaded");
        assert_eq!(app.send(held()).await.code(), "idempotency_overloaded");
        assert_eq!(app.effects(), 0);
    }
}
