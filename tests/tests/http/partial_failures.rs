//! A store that answers some calls and refuses others, or never answers them: a full disk takes renewals and no
//! outcomes, a row is locked, another process has a key in a transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Idempotency, OnStoreError, idempotent};
use tokio::time::{Instant, sleep};

use crate::app::{App, held, request, send};
use crate::failing_store::{FailingStore, Failure, Method};

const BODY: &str = r#"{"amount":100}"#;
const SECOND: Duration = Duration::from_secs(1);

/// Each call takes a millisecond.
fn partial() -> (App, Arc<FailingStore>) {
    let store = Arc::new(FailingStore::with_latency(SECOND / 1000));
    (App::over(Idempotency::new(Arc::clone(&store)).lease(SECOND * 3)), store)
}

#[idempotent(wait = "10s")]
async fn wait(State(app): State<App>, _order: String) -> String {
    app.effects.fetch_add(1, Ordering::SeqCst).to_string()
}

/// What the store says to one of them says nothing to the other, so each has to ask; but not because the other did.
#[tokio::test(start_paused = true)]
async fn different_requests_that_wait_for_one_key_do_not_ask_by_turns() {
    let (app, store) = partial();
    store.fail(Method::Reserve, Failure::Overtaken);
    let router = Router::new().route("/wait", post(wait)).with_state(app.clone());
    let waiting =
        ["one", "another", "a third"].map(|order| tokio::spawn(send(router.clone(), request("k1", "/wait", order))));
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().code(), "idempotency_request_in_flight");
    }
    let asked = store.called(Method::Reserve);
    assert!(asked < 50, "{asked} questions within ten seconds");
}

/// Each of 200 renews its lease once a second, and each renewal shows that the store is there.
#[tokio::test(start_paused = true)]
async fn outcomes_that_are_refused_while_renewals_are_answered_are_sent_at_long_intervals() {
    let (app, store) = partial();
    store.fail(Method::Finish, Failure::Refused);
    for key in 0..200 {
        assert_eq!(app.send(request(&format!("k{key}"), "/payments", BODY)).await.status, StatusCode::CREATED);
    }
    sleep(SECOND * 20).await;
    let before = store.called(Method::Finish);
    sleep(SECOND * 20).await;
    let sent = store.called(Method::Finish) - before;
    assert!(sent < 20 * 100, "{sent} outcomes were sent within twenty seconds");
    store.mend(Method::Finish);
    sleep(SECOND * 6).await;
    let elsewhere = App::over(Idempotency::new(store.inner.clone()));
    for key in 0..200 {
        assert!(elsewhere.send(request(&format!("k{key}"), "/payments", BODY)).await.is_replay(), "key {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_outcome_without_an_answer_slows_no_reservation_but_the_first() {
    let (app, store) = partial();
    store.fail(Method::Finish, Failure::UnansweredFor("locked"));
    assert_eq!(app.send(request("locked", "/payments", BODY)).await.status, StatusCode::CREATED);
    sleep(SECOND * 20).await;
    let mut took = Vec::new();
    for key in 0..5 {
        let begun = Instant::now();
        assert_eq!(app.send(request(&format!("k{key}"), "/payments", BODY)).await.status, StatusCode::CREATED);
        took.push(begun.elapsed());
    }
    assert!(took[1..].iter().all(|took| *took < SECOND / 10), "{took:?}");
}

/// A renewal may say so as well, also where the outcome itself gets no answer.
#[tokio::test(start_paused = true)]
async fn a_pending_outcome_is_not_told_once_the_store_says_that_the_key_was_taken_over() {
    let (app, store) = partial();
    let running = app.hold().await;
    store.fail(Method::Finish, Failure::Refused);
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    store.fail(Method::Renew, Failure::Overtaken);
    sleep(SECOND * 10).await;
    let elsewhere = App::over(Idempotency::new(store.inner.clone()));
    elsewhere.effects.store(10, Ordering::SeqCst);
    elsewhere.gate.notify_one();
    let second = elsewhere.send(held()).await;
    assert_eq!((second.status, second.is_replay()), (StatusCode::CREATED, false));
    let again = app.send(held()).await;
    assert_eq!((again.is_replay(), &again.body), (true, &second.body));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_told_the_outcome_of_a_run_that_was_overtaken_though_it_could_not_be_written() {
    let (app, store) = partial();
    let running = app.hold().await;
    store.fail(Method::Renew, Failure::Overtaken);
    sleep(SECOND * 10).await;
    store.fail(Method::Finish, Failure::Refused);
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().code(), "idempotency_reservation_lost");
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_without_a_reservation_than_may_run_with_one() {
    let store = Arc::new(FailingStore::with_latency(SECOND / 1000));
    store.fail(Method::Reserve, Failure::Refused);
    let app = App::over(Idempotency::new(Arc::clone(&store)).on_store_error(OnStoreError::Run).max_running(2));
    for key in ["k1", "k2"] {
        let app = app.clone();
        tokio::spawn(async move { app.send(request(key, "/payments?wait=true", BODY)).await });
        sleep(SECOND).await;
    }
    assert_eq!(app.send(request("k3", "/payments", BODY)).await.code(), "idempotency_overloaded");
    app.gate.notify_waiters();
    sleep(SECOND).await;
    assert_eq!(app.send(request("k3", "/payments", BODY)).await.status, StatusCode::CREATED);
    assert_eq!(app.effects(), 3);
}

/// A connection may be silent over which a store would listen: who waits finds the outcome all the same.
#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_outcome_though_the_store_cannot_watch() {
    for how in [Failure::Unanswered, Failure::Panics, Failure::PanicsLater] {
        let (app, store) = partial();
        store.fail(Method::Watch, how);
        let router = |app: &App| Router::new().route("/wait", post(wait)).with_state(app.clone());
        store.fail(Method::Reserve, Failure::Overtaken);
        let waiting = tokio::spawn(send(router(&app), request("k1", "/wait", "one")));
        sleep(SECOND * 3).await;
        let elsewhere = App::over(Idempotency::new(store.inner.clone()));
        let first = send(router(&elsewhere), request("k1", "/wait", "one")).await;
        store.mend(Method::Reserve);
        let answer = waiting.await.unwrap();
        assert_eq!((answer.is_replay(), answer.body), (true, first.body));
        let asked = store.called(Method::Reserve);
        assert!(asked < 100, "{asked} questions within three seconds");
    }
}

/// A hundred outcomes are refused for ever and try by turns. That the store is back, a new reservation shows first.
#[tokio::test(start_paused = true)]
async fn renewals_are_sent_as_soon_as_a_reservation_shows_that_the_store_is_back() {
    let (app, store) = partial();
    store.fail(Method::Finish, Failure::Refused);
    for key in 0..100 {
        assert_eq!(app.send(request(&format!("k{key}"), "/payments", BODY)).await.status, StatusCode::CREATED);
    }
    sleep(SECOND * 2).await;
    store.fail(Method::Renew, Failure::Refused);
    store.fail(Method::Reserve, Failure::Refused);
    sleep(SECOND * 20).await;
    store.mend(Method::Renew);
    store.mend(Method::Reserve);
    let before = store.handed_on(Method::Renew);
    let new = app.send(request("new", "/payments", BODY)).await;
    assert_eq!(new.status, StatusCode::CREATED);
    sleep(SECOND / 10).await;
    let renewed = store.handed_on(Method::Renew) - before;
    assert!(renewed >= 100, "{renewed} renewals");
}

/// The end of the lease gives the key back as well, and nobody here waits for longer.
#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_written_keeps_no_duplicate_from_asking() {
    let (app, store) = partial();
    store.fail(Method::Release, Failure::Refused);
    let panicked = app.send(request("k1", "/payments?panic=true", BODY)).await;
    assert_eq!(panicked.status, StatusCode::INTERNAL_SERVER_ERROR);
    let asked = store.called(Method::Reserve);
    let again = || request("k1", "/payments?panic=true", BODY);
    assert_eq!(app.send(again()).await.code(), "idempotency_request_in_flight");
    assert_eq!(store.called(Method::Reserve), asked + 1, "the store was asked");
    sleep(SECOND * 3).await;
    store.mend(Method::Release);
    assert_eq!(app.send(again()).await.code(), "idempotency_handler_panicked", "it has run once more");
}

/// One question that fails is no news of the run that they wait for.
#[tokio::test(start_paused = true)]
async fn who_waits_sits_out_a_moment_without_the_store() {
    let (app, store) = partial();
    store.fail(Method::Reserve, Failure::Overtaken);
    let router = |app: &App| Router::new().route("/wait", post(wait)).with_state(app.clone());
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(send(router(&app), request("k1", "/wait", "one")))).collect();
    sleep(SECOND).await;
    store.fail(Method::Reserve, Failure::Refused);
    let elsewhere = App::over(Idempotency::new(store.inner.clone()));
    let first = send(router(&elsewhere), request("k1", "/wait", "one")).await;
    sleep(SECOND * 3).await;
    let asked = store.called(Method::Reserve);
    assert!(asked < 20, "{asked} questions within four seconds");
    store.mend(Method::Reserve);
    for waiter in waiting {
        let answer = waiter.await.unwrap();
        assert_eq!((answer.is_replay(), &answer.body), (true, &first.body));
    }
}
