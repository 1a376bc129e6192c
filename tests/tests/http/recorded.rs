//! `record = all_but_5xx`, over a real server. In transactions it is tested in `transaction/either_database.rs`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};
use cratestack_tests::client::RequestBuilder;
use tokio::task::JoinSet;

use crate::app::{App, eventually};
use crate::server::serve;

/// Answers with the next of the statuses that its body lists, or else 201; and with what the reservation says of it.
fn answer(app: &App, reservation: &Reservation, statuses: &str) -> Response {
    let count = app.effects.fetch_add(1, Ordering::SeqCst) + 1;
    let status = statuses.split(' ').nth(count - 1).unwrap_or("201");
    let status = StatusCode::from_bytes(status.as_bytes()).unwrap();
    let said = [
        ("x-run", count.to_string()),
        ("x-attempt", reservation.attempt().to_string()),
        ("x-token", reservation.token().to_string()),
        ("x-derived", reservation.derive("charge").to_string()),
    ];
    (status, said).into_response()
}

#[idempotent(record = all_but_5xx)]
async fn pay(State(app): State<App>, reservation: Reservation, statuses: String) -> Response {
    answer(&app, &reservation, &statuses)
}

#[idempotent(record = all_but_5xx, wait = "20s")]
async fn held(State(app): State<App>, reservation: Reservation, statuses: String) -> Response {
    if app.effects() == 0 {
        app.waiting.notify_one();
        app.gate.notified().await;
    }
    answer(&app, &reservation, &statuses)
}

#[idempotent(record = all_but_5xx)]
async fn panics(State(app): State<App>) {
    let first = app.effects.fetch_add(1, Ordering::SeqCst) == 0;
    assert!(!first, "told to panic");
}

fn router(app: &App) -> Router {
    Router::new()
        .route("/pay", post(pay))
        .route("/held", post(held))
        .route("/panics", post(panics))
        .with_state(app.clone())
}

fn by_alice(request: RequestBuilder) -> RequestBuilder {
    request.header("authorization", "Bearer alice")
}

#[tokio::test]
async fn all_but_5xx_keeps_2xx_to_4xx_and_frees_the_key_after_a_5xx() {
    let kept = ["200", "201", "204", "301", "303", "400", "402", "404", "409", "422", "429", "499"];
    let freed = ["500", "501", "502", "503", "504", "599"];
    for (status, is_kept) in kept.map(|status| (status, true)).into_iter().chain(freed.map(|status| (status, false))) {
        let app = App::new();
        let client = serve(router(&app)).await;
        let pay = by_alice(client.post("/pay").key("k1").body(status));
        let first = pay.send().await.unwrap();
        assert_eq!((first.status.as_str(), first.is_replay()), (status, false));
        let second = pay.send().await.unwrap();
        assert_eq!((second.is_replay(), app.effects()), (is_kept, if is_kept { 1 } else { 2 }), "{status}");
        assert_eq!(second.status.as_str(), if is_kept { status } else { "201" });
        let third = pay.send().await.unwrap();
        assert!(third.is_replay(), "what comes after a 5xx is kept: {third:?}");
        assert_eq!(third.header("x-run"), second.header("x-run"));
    }
}

/// A key that is free is anybody's.
#[tokio::test]
async fn after_a_5xx_the_key_is_free_for_another_request_too() {
    let app = App::new();
    let client = serve(router(&app)).await;
    let pay = |body: &'static str| by_alice(client.post("/pay").key("k1").body(body));
    assert_eq!(pay("503").send().await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(pay("503 402").send().await.unwrap().status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(pay("503").send().await.unwrap().code(), "idempotency_key_conflict");
    assert!(pay("503 402").send().await.unwrap().is_replay());
    assert_eq!(app.effects(), 2);
}

/// The second run is not told that it is one, but what it derives is what the first derived.
#[tokio::test]
async fn a_run_after_a_5xx_derives_what_the_first_derived() {
    let app = App::new();
    let client = serve(router(&app)).await;
    let pay = by_alice(client.post("/pay").key("k1").body("500 502"));
    let runs = [pay.send().await.unwrap(), pay.send().await.unwrap(), pay.send().await.unwrap()];
    assert_eq!([0, 1, 2].map(|n: usize| runs[n].status.as_u16()), [500, 502, 201]);
    for run in &runs[1..] {
        assert_eq!((run.header("x-attempt"), run.header("x-derived")), (Some("1"), runs[0].header("x-derived")));
        assert_ne!(run.header("x-token"), runs[0].header("x-token"));
    }
}

/// Of those who waited for a run that answered 5xx one runs, and the others get what that one answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_waited_for_a_5xx_one_runs() {
    let events: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let seen = Arc::clone(&events);
    let idempotency =
        Idempotency::new(MemoryStore::new()).on_event(move |event| seen.lock().unwrap().push(event.kind.as_str()));
    let app = App::over(idempotency);
    let client = serve(router(&app)).await;
    let request = by_alice(client.post("/held").key("k1").body("503 404"));
    let first = tokio::spawn({
        let request = request.clone();
        async move { request.send().await.unwrap() }
    });
    app.waiting.notified().await;
    let mut waiting = JoinSet::new();
    for _ in 0..30 {
        let request = request.clone();
        waiting.spawn(async move { request.send().await.unwrap() });
    }
    // Whoever comes later does not wait, and gets the same.
    tokio::time::sleep(Duration::from_millis(100)).await;
    app.gate.notify_one();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.header("x-run")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    let mut replays = 0;
    while let Some(answer) = waiting.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("x-run")), (StatusCode::NOT_FOUND, Some("2")), "{answer:?}");
        replays += usize::from(answer.is_replay());
    }
    assert_eq!((replays, app.effects()), (29, 2));
    eventually("each run has told of its end", async || events.lock().unwrap().contains(&"recorded")).await;
    let events = events.lock().unwrap();
    for (event, times) in [("reserved", 2), ("released", 1), ("recorded", 1), ("replayed", 29)] {
        assert_eq!(events.iter().filter(|seen| **seen == event).count(), times, "{event} in {events:?}");
    }
}

/// A panic is a 500 that is the library's: it frees the key, whatever is recorded.
#[tokio::test]
async fn a_panic_frees_the_key_as_ever() {
    let app = App::new();
    let client = serve(router(&app)).await;
    let request = by_alice(client.post("/panics").key("k1"));
    let panicked = request.send().await.unwrap();
    assert_eq!(panicked.code(), "idempotency_handler_panicked");
    assert_eq!(panicked.json()["retryable"], false, "what it had done is done");
    assert!(!request.send().await.unwrap().is_replay());
    assert!(request.send().await.unwrap().is_replay());
    assert_eq!(app.effects(), 2);
}
