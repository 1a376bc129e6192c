//! Two guards on one request's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{FromRef, Json, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::records::{RecordQuery, RecordState};
use cratestack_runtime::{EventKind, Idempotency, IdempotencyLayer, MemoryStore, Reservation, idempotent};
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::door::{Outcome, Terms};
use crate::handler::{self, App};
use crate::handler_with_handle;
use crate::log::Log;
use crate::web::{call, request};
use crate::work::{Failure, Next, Work};

const ALICE: &str = "Bearer alice";
const JOINED: &str = "the first guards it";
const BESIDE: &str = "each has a record of its own";

/// A handle, and how many keys it has reserved.
fn counting() -> (Idempotency, Arc<AtomicUsize>) {
    let reserved = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&reserved);
    let handle = Idempotency::new(MemoryStore::new()).on_event(move |event| {
        if event.kind == EventKind::Reserved {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (handle, reserved)
}

async fn records(handle: &Idempotency) -> usize {
    handle.list(&RecordQuery::new(100).states([RecordState::Finished])).await.unwrap().len()
}

/// Its key is once in the table however many guards it meets: it is a fresh call, a replay, and a log of one line.
async fn assert_guarded_once(router: &Router, work: &Work, handle: &Idempotency, reserved: &AtomicUsize) {
    let (log, _listening) = Log::listen();
    assert_eq!(call(router, ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(call(router, ALICE, "k", "5").await, Outcome::Replayed(1));
    assert_eq!(call(router, ALICE, "k", "6").await, Outcome::Conflict);
    assert_eq!(call(router, ALICE, "another", "5").await, Outcome::Fresh(2));
    assert_eq!((work.effects(), reserved.load(Ordering::SeqCst), records(handle).await), (2, 2, 2));
    assert_eq!((log.lines_with(JOINED), log.lines_with(BESIDE)), (1, 0));
}

#[tokio::test]
async fn a_layer_above_the_attribute_guards_once_and_says_so() {
    let ((handle, reserved), work) = (counting(), Work::default());
    let router =
        handler::router(handle.clone(), work.clone(), Terms::Plain).layer(IdempotencyLayer::new(handle.clone()));
    assert_guarded_once(&router, &work, &handle, &reserved).await;
}

/// It looks for a guard above before it knows its own handle.
#[tokio::test]
async fn a_layer_above_a_handler_that_names_its_handle_guards_once_and_says_so() {
    let ((handle, reserved), work) = (counting(), Work::default());
    let router = handler_with_handle::router(handle.clone(), work.clone(), Terms::Plain);
    let router = router.layer(IdempotencyLayer::new(handle.clone()));
    assert_guarded_once(&router, &work, &handle, &reserved).await;
}

/// What the layer has reserved is another handle's.
#[tokio::test]
async fn a_layer_above_a_handler_that_names_another_handle_stands_beside_it() {
    let ((of_layer, reserved_by_layer), (handle, reserved), work) = (counting(), counting(), Work::default());
    let router = handler_with_handle::router(handle.clone(), work.clone(), Terms::Plain);
    let router = router.layer(IdempotencyLayer::new(of_layer.clone()));
    let (log, _listening) = Log::listen();
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Replayed(1));
    assert_eq!(call(&router, ALICE, "k", "6").await, Outcome::Conflict);
    let of_both = [reserved_by_layer, reserved].map(|reserved| reserved.load(Ordering::SeqCst));
    assert_eq!((work.effects(), of_both), (1, [1, 1]));
    assert_eq!((records(&of_layer).await, records(&handle).await), (1, 1));
    assert_eq!((log.lines_with(JOINED), log.lines_with(BESIDE)), (0, 1));
}

#[tokio::test]
async fn a_layer_around_a_nested_router_guards_once_and_says_so() {
    let ((handle, reserved), work) = (counting(), Work::default());
    let nested = handler::router(handle.clone(), work.clone(), Terms::Plain);
    let nested = Router::new().nest("/inner", nested);
    // Within, the path has lost its prefix; both guards look at the whole one.
    let into = move |mut request: Request| {
        let nested = nested.clone();
        async move {
            *request.uri_mut() = "/inner/work".parse().unwrap();
            nested.oneshot(request).await
        }
    };
    let router = Router::new().route("/work", post(into)).layer(IdempotencyLayer::new(handle.clone()));
    assert_guarded_once(&router, &work, &handle, &reserved).await;
}

#[tokio::test]
async fn two_layers_guard_once_and_say_so() {
    async fn bare(State(work): State<Work>, reservation: Reservation) -> Result<String, Failure> {
        Ok(work.run(&reservation).await?.to_string())
    }
    let ((handle, reserved), work) = (counting(), Work::default());
    let layer = IdempotencyLayer::new(handle.clone());
    let inner = Router::new().route("/work", post(bare)).layer(layer.clone()).with_state(work.clone());
    let router = Router::new().merge(inner).layer(layer);
    assert_guarded_once(&router, &work, &handle, &reserved).await;
}

/// A handler with the attribute that hands its request on.
#[derive(Clone, FromRef)]
struct Gateway {
    idempotency: Idempotency,
    behind: Router,
}

#[idempotent(record = success)]
async fn gateway(State(behind): State<Router>, request: Request) -> Response {
    behind.oneshot(request).await.into_response()
}

#[tokio::test]
async fn the_attribute_above_a_layer_and_the_attribute_guards_once_and_says_so() {
    let ((handle, reserved), work) = (counting(), Work::default());
    let behind = handler::router(handle.clone(), work.clone(), Terms::Plain);
    let behind = behind.layer(IdempotencyLayer::new(handle.clone()));
    let state = Gateway { idempotency: handle.clone(), behind };
    let router = Router::new().route("/work", post(gateway)).with_state(state);
    assert_guarded_once(&router, &work, &handle, &reserved).await;
}

/// Steps of a handler below are those of the run above.
#[tokio::test]
async fn steps_below_another_guard_are_recorded_too() {
    let ((handle, _), work) = (counting(), Work::default());
    let behind = handler::router(handle.clone(), work.clone(), Terms::Plain);
    let router = Router::new().route("/work", post(gateway)).with_state(Gateway { idempotency: handle, behind });
    work.will(&[Next::PanicAfterStep]);
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Panicked);
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(work.charges(), 1);
}

#[idempotent(key = order, record = all)]
async fn by_order(State(work): State<Work>, reservation: Reservation, order: String) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

/// One order is paid once, whatever keys its clients send: the layer's guard, which knows those keys only, does not
/// replace that of the handler.
#[tokio::test]
async fn a_handler_with_a_key_of_its_own_keeps_its_promise_below_a_layer() {
    let (log, _listening) = Log::listen();
    let ((handle, _), work) = (counting(), Work::default());
    let app = App { idempotency: handle.clone(), work: work.clone() };
    let router = Router::new().route("/work", post(by_order)).layer(IdempotencyLayer::new(handle)).with_state(app);
    assert_eq!(call(&router, ALICE, "k", "order 1").await, Outcome::Fresh(1));
    assert_eq!(call(&router, ALICE, "k", "order 1").await, Outcome::Replayed(1));
    let other_key = call(&router, ALICE, "another", "order 1").await;
    assert_eq!(other_key, Outcome::Fresh(1), "to the layer it is a first answer, and the handler has not run again");
    assert_eq!(call(&router, ALICE, "third", "order 2").await, Outcome::Fresh(2));
    assert_eq!((work.effects(), log.lines_with(BESIDE), log.lines_with(JOINED)), (2, 1, 0));
}

/// What the guard below refuses is no outcome to a layer that records whatever it gets.
#[tokio::test]
async fn a_problem_of_the_guard_below_is_not_recorded_above() {
    let ((handle, _), work) = (counting(), Work::default());
    let app = App { idempotency: handle.clone(), work: work.clone() };
    let layer = IdempotencyLayer::new(handle).record_all();
    let router = Router::new().route("/work", post(by_order)).layer(layer).with_state(app);
    work.will(&[Next::Wait]);
    let held = tokio::spawn({
        let router = router.clone();
        async move { call(&router, ALICE, "k", "order 1").await }
    });
    work.waits().await;
    assert_eq!(call(&router, ALICE, "another", "order 1").await, Outcome::InFlight, "the order is");
    work.goes_on();
    assert_eq!(held.await.unwrap(), Outcome::Fresh(1));
    assert_eq!(call(&router, ALICE, "another", "order 1").await, Outcome::Fresh(1), "and the 409 is not frozen");
    assert_eq!(work.effects(), 1);
}

/// The layer must not stand in for a guard over another store.
#[tokio::test]
async fn a_handler_over_another_handle_keeps_its_promise_below_a_layer() {
    let (log, _listening) = Log::listen();
    let work = Work::default();
    let durable = Idempotency::new(MemoryStore::new());
    let app = |layers: Idempotency| {
        let router = handler::router(durable.clone(), work.clone(), Terms::Plain);
        router.layer(IdempotencyLayer::new(layers))
    };
    let router = app(Idempotency::new(MemoryStore::new()));
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Replayed(1));
    let restarted = app(Idempotency::new(MemoryStore::new()));
    assert_eq!(call(&restarted, ALICE, "k", "5").await, Outcome::Fresh(1), "the handler's own record is told");
    assert_eq!((work.effects(), log.lines_with(BESIDE)), (1, 1));
}

#[derive(Clone)]
struct User(u64);

#[idempotent(principal = user.0)]
async fn of_user(
    State(work): State<Work>,
    Extension(user): Extension<User>,
    reservation: Reservation,
) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

/// A caller whom both name alike is one, and only the first guard asks the store.
#[tokio::test]
async fn a_layer_that_names_callers_as_the_attribute_does_guards_once() {
    let (log, _listening) = Log::listen();
    let ((handle, reserved), work) = (counting(), Work::default());
    let router = |layer: IdempotencyLayer| {
        let app = App { idempotency: handle.clone(), work: work.clone() };
        Router::new().route("/work", post(of_user)).layer(layer).layer(Extension(User(7))).with_state(app)
    };
    let layer = IdempotencyLayer::new(handle.clone());
    let named = layer.clone().principal(|request| request.extensions.get::<User>().map(|user| user.0));
    assert_eq!(call(&router(named), ALICE, "k", "5").await, Outcome::Fresh(1));
    assert_eq!((reserved.load(Ordering::SeqCst), log.lines_with(JOINED), log.lines_with(BESIDE)), (1, 1, 0));
    // By default the layer goes by `Authorization`: to it, a new token is another caller, and the user is not.
    let by_default = router(layer);
    assert_eq!(call(&by_default, "Bearer new", "k", "5").await, Outcome::Fresh(1));
    assert_eq!((work.effects(), log.lines_with(BESIDE)), (1, 1));
}

/// A handler that rejects before it runs has had no effect, and the `record` of its attribute does not count.
#[tokio::test]
async fn what_an_extractor_below_the_layer_rejects_frees_the_key() {
    #[idempotent]
    async fn strict(State(work): State<Work>, reservation: Reservation, Json(_): Json<u64>) -> Result<String, Failure> {
        Ok(work.run(&reservation).await?.to_string())
    }
    let ((handle, _), work) = (counting(), Work::default());
    let app = App { idempotency: handle.clone(), work: work.clone() };
    let router =
        Router::new().route("/work", post(strict)).layer(IdempotencyLayer::new(handle.clone())).with_state(app);
    let rejected = router.oneshot(request(ALICE, "k", "no number")).await.unwrap();
    assert_eq!(rejected.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!((work.effects(), records(&handle).await), (0, 0));
}

/// A guard stands in for another while its run lasts, and no longer.
#[tokio::test]
async fn a_request_that_outlives_its_guard_is_guarded_anew() {
    let ((handle, _), work) = (counting(), Work::default());
    let (forward, mut forwarded) = mpsc::channel::<Request>(1);
    let accept = move |request: Request| {
        let forward = forward.clone();
        async move {
            forward.send(request).await.unwrap();
            (StatusCode::ACCEPTED, "77")
        }
    };
    let router = Router::new().route("/work", post(accept)).layer(IdempotencyLayer::new(handle.clone()));
    assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(77));
    let behind = handler::router(handle, work.clone(), Terms::Plain);
    let late = behind.oneshot(forwarded.recv().await.unwrap()).await.unwrap();
    assert!(late.headers().contains_key("idempotency-replayed"), "its key has an outcome");
    assert_eq!(work.effects(), 0);
}

/// Keys that a handler makes for others are the same whichever guard it runs under.
#[tokio::test]
async fn what_is_derived_does_not_change_when_a_layer_is_added() {
    async fn derived(reservation: Reservation, Path(purpose): Path<String>) -> String {
        reservation.derive(&purpose).to_string()
    }
    #[idempotent]
    async fn annotated(reservation: Reservation, path: Path<String>) -> String {
        derived(reservation, path).await
    }
    let handle = || Idempotency::new(MemoryStore::new());
    let attribute = |handle| Router::new().route("/{purpose}", post(annotated)).with_state(handle);
    let shared = handle();
    let mut told = Vec::new();
    for router in [
        attribute(handle()),
        attribute(shared.clone()).layer(IdempotencyLayer::new(shared)),
        Router::new().route("/{purpose}", post(derived)).layer(IdempotencyLayer::new(handle())),
    ] {
        let response = router.oneshot(request(ALICE, "k", "5")).await.unwrap();
        assert!(!response.headers().contains_key("idempotency-replayed"));
        told.push(axum::body::to_bytes(response.into_body(), 100).await.unwrap());
    }
    assert!(told[0] == told[1] && told[0] == told[2], "{told:?}");
}
