//! A store that is slow, or away for longer than a lease: how often a handler runs, and what duplicates are told.
//!
//! Two `App`s over one store are two processes: each has a handle of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::app::{App, held, request, send};
use crate::failing_store::{FailingStore, Failure, Method, failing};

const BODY: &str = r#"{"amount":100}"#;
const SECOND: Duration = Duration::from_secs(1);

/// Two processes over a store that writes at once and answers two seconds later; a lease lasts one.
#[tokio::test(start_paused = true)]
async fn a_reservation_that_was_answered_after_its_lease_does_not_run_beside_another() {
    let store = Arc::new(FailingStore::default());
    store.fail(Method::Reserve, Failure::ReservedLate(SECOND * 2));
    let process = || App::over(Idempotency::new(Arc::clone(&store)).lease(SECOND));
    let (one, other) = (process(), process());
    let mut tries = JoinSet::new();
    for key in 0..10 {
        let key = format!("k{key}");
        let (one, again) = (one.clone(), other.clone());
        let (first, second) = (request(&key, "/payments", BODY), request(&key, "/payments", BODY));
        tries.spawn(async move { one.send(first).await.status });
        tries.spawn(async move {
            sleep(SECOND * 13 / 10).await;
            again.send(second).await.status
        });
    }
    let statuses = tries.join_all().await;
    assert_eq!(one.effects() + other.effects(), 10, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| matches!(*status, StatusCode::CREATED | StatusCode::CONFLICT)),
        "{statuses:?}"
    );
}

/// Where even a renewal takes longer than the lease, nothing runs, and the key comes free.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_slower_than_the_lease_lets_nothing_run() {
    let store = Arc::new(FailingStore::default());
    store.fail(Method::Reserve, Failure::ReservedLate(SECOND * 2));
    store.fail(Method::Renew, Failure::Delayed(SECOND * 3));
    store.fail(Method::Release, Failure::AnsweredLate(SECOND * 5));
    let app = App::over(Idempotency::new(Arc::clone(&store)).lease(SECOND));
    let refused = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(refused.code(), "idempotency_store_unavailable");
    assert_eq!(app.effects(), 0);
    store.mend_every_write();
    sleep(SECOND * 10).await;
    assert_eq!(app.send(request("k1", "/payments", BODY)).await.status, StatusCode::CREATED);
}

/// The lease has ended, the store would hand the key out again, and the run goes on.
#[tokio::test(start_paused = true)]
async fn a_handle_never_runs_a_key_beside_itself() {
    let (app, store) = failing();
    store.fail(Method::Renew, Failure::Refused);
    let running = app.hold().await;
    sleep(SECOND * 31).await;
    let clone = App { idempotency: app.idempotency.clone().ttl(SECOND * 3600), ..app.clone() };
    for duplicate in [app.send(held()).await, clone.send(held()).await] {
        assert_eq!(duplicate.code(), "idempotency_request_in_flight");
    }
    let other = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(other.code(), "idempotency_key_conflict");
    app.gate.notify_one();
    let first = running.await.unwrap();
    assert_eq!((first.status, app.effects()), (StatusCode::CREATED, 1));
    assert_eq!(app.send(held()).await.body, first.body);
}

/// Forty outcomes wait while the store is away for three leases; whoever asks this process gets them.
#[tokio::test(start_paused = true)]
async fn pending_outcomes_are_answered_from_and_are_the_first_to_be_written() {
    let (app, store) = failing();
    let ask = |key: usize| request(&format!("k{key}"), "/payments?wait=true", BODY);
    let mut running = Vec::new();
    for key in 0..40 {
        let (caller, ask) = (app.clone(), ask(key));
        running.push(tokio::spawn(async move { caller.send(ask).await }));
        app.waiting.notified().await;
    }
    store.fail_every_write(Failure::Refused);
    app.gate.notify_waiters();
    let mut answers = Vec::new();
    for run in running {
        answers.push(run.await.unwrap());
    }
    sleep(SECOND * 90).await;
    for (key, answer) in answers.iter().enumerate() {
        let again = app.send(ask(key)).await;
        assert_eq!((again.is_replay(), &again.body), (true, &answer.body), "key {key}, while the store is away");
    }
    let new = app.send(request("new", "/payments", BODY)).await;
    assert_eq!(new.code(), "idempotency_store_unavailable");
    store.mend_every_write();
    let back = Instant::now();
    let elsewhere = App::over(Idempotency::new(Arc::clone(&store)).lease(SECOND * 30));
    sleep(SECOND / 4).await;
    for (key, answer) in answers.iter().enumerate() {
        let again = elsewhere.send(ask(key)).await;
        assert_eq!((again.is_replay(), &again.body), (true, &answer.body), "key {key}, {:?} after", back.elapsed());
    }
    assert_eq!((app.effects(), elsewhere.effects()), (40, 0));
}

/// What the store says counts: where another process took the key over, its record is told.
#[tokio::test(start_paused = true)]
async fn an_outcome_is_answered_from_until_the_store_says_that_the_key_was_taken_over() {
    let (app, store) = failing();
    let running = app.hold().await;
    store.fail_every_write(Failure::Refused);
    app.gate.notify_one();
    let told = running.await.unwrap();
    assert_eq!(told.status, StatusCode::CREATED);
    sleep(SECOND * 60).await;
    // The other process' way to the store is open.
    let elsewhere = App::over(Idempotency::new(store.inner.clone()).lease(SECOND * 30));
    elsewhere.effects.store(10, Ordering::SeqCst);
    elsewhere.gate.notify_one();
    let second = elsewhere.send(held()).await;
    assert_eq!(second.status, StatusCode::CREATED, "a third way to a second run, which the guarantees name");
    assert_eq!(app.send(held()).await.body, told.body, "nobody has told this process");
    store.mend_every_write();
    sleep(SECOND).await;
    let after = app.send(held()).await;
    assert_eq!((after.is_replay(), &after.body), (true, &second.body));
}

#[idempotent(wait = "10s", ttl = "1s")]
async fn brief(State(app): State<App>) -> String {
    app.effects.fetch_add(1, Ordering::SeqCst).to_string()
}

/// Duplicates come so fast that there is always one who waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_not_replayed_past_its_end_however_many_wait() {
    let app = App::over(Idempotency::new(MemoryStore::new()));
    let router = Router::new().route("/brief", post(brief)).with_state(app.clone());
    let began = std::time::Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..256 {
        let router = router.clone();
        callers.spawn(async move {
            while began.elapsed() < Duration::from_millis(2_500) {
                assert_eq!(send(router.clone(), request("k1", "/brief", "")).await.status, StatusCode::OK);
            }
        });
    }
    callers.join_all().await;
    assert!(app.effects() >= 2, "the first outcome was replayed for all of 2.5 s, its `ttl` is 1 s");
}

/// Its first run goes silent, its second one panics, and its third one ends.
#[idempotent]
async fn unlucky(State(app): State<App>, body: String) -> String {
    match app.effects.fetch_add(1, Ordering::SeqCst) {
        0 => {
            app.waiting.notify_one();
            app.gate.notified().await;
        }
        1 => panic!("on purpose"),
        _ => {}
    }
    body
}

/// What the run before it did may have happened, whatever this one says.
#[tokio::test(start_paused = true)]
async fn a_takeover_that_panics_leaves_the_key_to_its_request() {
    let (app, store) = failing();
    store.fail(Method::Renew, Failure::Refused);
    let elsewhere = App { idempotency: Idempotency::new(Arc::clone(&store)).lease(SECOND * 30), ..app.clone() };
    let [silent, other] = [app.clone(), elsewhere].map(|app| Router::new().route("/", post(unlucky)).with_state(app));
    let _silent = tokio::spawn(send(silent, request("k1", "/", "50")));
    app.waiting.notified().await;
    sleep(SECOND * 31).await;
    assert_eq!(send(other.clone(), request("k1", "/", "50")).await.code(), "idempotency_handler_panicked");
    assert_eq!(send(other.clone(), request("k1", "/", "60")).await.code(), "idempotency_key_conflict");
    sleep(SECOND).await;
    let third = send(other, request("k1", "/", "50")).await;
    assert_eq!((third.status, &third.body[..], app.effects()), (StatusCode::OK, &b"50"[..], 3));
}
