//! A run that took over from a silent one, and comes to nothing itself.
//!
//! ```text
//! one process      reserved, its lease ends in silence; its effect may have happened
//! the other        takes over, panics: the key is given back
//! another request  422: whether the first one had its effect is not known
//! the same one     runs
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Idempotency, Reservation, idempotent};
use tokio::time::sleep;

use crate::app::{App, request, send};
use crate::faulty::Faulty;

const LEASE: Duration = Duration::from_secs(30);

#[idempotent]
async fn pay(State(app): State<App>, reservation: Reservation) -> StatusCode {
    match reservation.attempt() {
        1 => {
            app.waiting.notify_one();
            app.gate.notified().await;
        }
        2 => panic!("told to panic"),
        _ => {}
    }
    StatusCode::CREATED
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_panics_leaves_the_key_to_its_request() {
    let store = Arc::new(Faulty::default());
    store.no_heartbeat.store(true, Ordering::SeqCst);
    let process = || App::over(Idempotency::new(Arc::clone(&store)).lease(LEASE));
    let (silent, other) = (process(), process());
    let routes = |app: &App| Router::new().route("/pay", post(pay)).with_state(app.clone());
    let first = tokio::spawn(send(routes(&silent), request("k1", "/pay", "100")));
    silent.waiting.notified().await;
    sleep(LEASE * 2).await;

    // Its first renewal would be due after a third of its lease.
    store.no_heartbeat.store(false, Ordering::SeqCst);
    let panicked = send(routes(&other), request("k1", "/pay", "100")).await;
    assert_eq!(panicked.status, StatusCode::INTERNAL_SERVER_ERROR, "{:?}", panicked.body);
    sleep(Duration::from_secs(2)).await;
    // A first attempt would not wait here.
    other.gate.notify_one();
    let corrected = send(routes(&other), request("k1", "/pay", "90")).await;
    assert_eq!(corrected.code(), "idempotency_key_conflict");
    let again = send(routes(&other), request("k1", "/pay", "100")).await;
    assert_eq!((again.status, again.is_replay()), (StatusCode::CREATED, false), "{:?}", again.body);
    first.abort();
}
