//! What handlers in the wild do that an attribute around them cannot see.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use bytes::Bytes;
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;

#[derive(Clone, Default)]
struct Account {
    is_closed: Arc<AtomicBool>,
    runs: Arc<AtomicU32>,
}

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    account: Account,
}

/// As many handlers have it: the check is a line of the body.
#[allow(clippy::unused_async)] // A real one asks a database.
async fn check(account: &Account, headers: &HeaderMap) -> Result<(), StatusCode> {
    let is_known = headers.get("authorization").is_some_and(|token| token == "Bearer alice");
    if is_known && !account.is_closed.load(Ordering::SeqCst) { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
}

/// The same check as an argument: extractors run before the key is looked at.
struct Checked;

impl FromRequestParts<App> for Checked {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        check(&app.account, &parts.headers).await.map(|()| Self)
    }
}

#[idempotent]
async fn checks_in_its_body(State(account): State<Account>, headers: HeaderMap) -> Result<&'static str, StatusCode> {
    check(&account, &headers).await?;
    account.runs.fetch_add(1, Ordering::SeqCst);
    Ok("paid")
}

#[idempotent]
async fn checks_by_an_argument(State(account): State<Account>, _: Checked) -> &'static str {
    account.runs.fetch_add(1, Ordering::SeqCst);
    "paid"
}

fn service() -> (Service<MemoryStore>, Account) {
    let account = Account::default();
    let outside = account.clone();
    let service = Service::new(MemoryStore::new(), move |idempotency| {
        Router::new()
            .route("/body", post(checks_in_its_body))
            .route("/argument", post(checks_by_an_argument))
            .route("/events", post(events))
            .route("/begin", post(begin))
            .with_state(App { idempotency, account: outside.clone() })
    });
    (service, account)
}

/// A replay runs no body. Nobody else's token gets it, but one that is no longer good does; and a refusal is recorded.
#[tokio::test]
async fn a_replay_comes_before_a_check_in_the_body_and_after_one_in_an_argument() {
    let (service, account) = service();
    let alice = |path: &str| service.post(path).key(path).header("authorization", "Bearer alice");
    for path in ["/body", "/argument"] {
        alice(path).twice().await;
    }
    account.is_closed.store(true, Ordering::SeqCst);
    let in_body = alice("/body").send().await;
    assert_eq!((in_body.status(), in_body.is_replay()), (StatusCode::OK, true), "the check did not run");
    let by_argument = alice("/argument").send().await;
    assert_eq!((by_argument.status(), by_argument.is_replay()), (StatusCode::UNAUTHORIZED, false));
    let mallory = service.post("/body").key("/body").header("authorization", "Bearer mallory").send().await;
    assert_eq!(
        (mallory.status(), mallory.is_replay()),
        (StatusCode::UNAUTHORIZED, false),
        "another caller: {mallory:?}"
    );
    assert_eq!(account.runs.load(Ordering::SeqCst), 2);
}

/// A refusal of the body's is an outcome like any other: the key stays refused after the account is open again.
#[tokio::test]
async fn a_refusal_in_the_body_is_recorded_and_one_of_an_argument_is_not() {
    let (service, account) = service();
    account.is_closed.store(true, Ordering::SeqCst);
    let alice = |path: &str| service.post(path).key(path).header("authorization", "Bearer alice");
    for path in ["/body", "/argument"] {
        assert_eq!(alice(path).send().await.status(), StatusCode::UNAUTHORIZED);
    }
    account.is_closed.store(false, Ordering::SeqCst);
    let in_body = alice("/body").send().await;
    assert_eq!((in_body.status(), in_body.is_replay()), (StatusCode::UNAUTHORIZED, true));
    let [by_argument, _] = alice("/argument").twice().await;
    assert_eq!(by_argument.status(), StatusCode::OK);
}

/// A stream is for its first client alone.
#[idempotent]
async fn events(State(account): State<Account>) -> impl IntoResponse {
    let run = account.runs.fetch_add(1, Ordering::SeqCst);
    let event = Event::default().data(format!("run {run}"));
    Sse::new(futures_util::stream::iter([Ok::<_, Infallible>(event)]))
}

/// What is to be done once ends in an answer that can be kept; the stream is another request, without a key.
#[idempotent]
async fn begin(State(account): State<Account>) -> (StatusCode, String) {
    let run = account.runs.fetch_add(1, Ordering::SeqCst);
    (StatusCode::ACCEPTED, format!("/runs/{run}/events"))
}

#[tokio::test]
async fn a_stream_is_told_once_and_what_begins_it_is_replayed() {
    let (service, account) = service();
    let events = service.post("/events").key("k1");
    let first = events.send().await;
    assert_eq!((first.status(), first.text()), (StatusCode::OK, "data: run 0\n\n"));
    let again = events.send().await;
    assert_eq!(again.problem_code().as_deref(), Some("idempotency_response_not_replayable"), "{again:?}");
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert_eq!(account.runs.load(Ordering::SeqCst), 1, "it did not run again");
    let [begun, _] = service.post("/begin").key("k2").twice().await;
    assert_eq!((begun.status(), begun.text()), (StatusCode::ACCEPTED, "/runs/1/events"));
}

/// A mounted service is no handler, and a handler that calls it is one: it takes the whole request.
#[tokio::test]
async fn a_service_that_a_handler_calls_is_guarded_by_it() {
    #[derive(Clone, FromRef)]
    struct App {
        idempotency: Idempotency,
        mounted: Router,
    }

    #[idempotent(optional)]
    async fn call(State(mounted): State<Router>, request: Request) -> Result<Response, Infallible> {
        mounted.oneshot(request).await
    }

    let runs = Arc::new(AtomicU32::new(0));
    let outside = Arc::clone(&runs);
    let service = Service::new(MemoryStore::new(), move |idempotency| {
        let runs = Arc::clone(&outside);
        // Any service would do; as rmcp's, async-graphql's or tonic's it takes a request and gives a response.
        let mounted = Router::new()
            .fallback(async move |body: String| format!("{body}, run {}", runs.fetch_add(1, Ordering::SeqCst)));
        let app = App { idempotency, mounted };
        Router::new().route("/mounted/{*path}", any(call)).with_state(app)
    });
    let [first, _] = service.post("/mounted/pay").key("k1").body("5").twice().await;
    assert_eq!(first.text(), "5, run 0");
    for run in [1, 2] {
        assert_eq!(
            service.get("/mounted/look").send().await.text(),
            format!(", run {run}"),
            "what is safe is not guarded"
        );
    }
}

/// As every answer of gRPC is: its status is in trailers, for which a record has no place.
#[tokio::test]
async fn an_answer_with_trailers_is_told_once() {
    #[idempotent]
    async fn call() -> Response {
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        Response::new(Body::new(Full::new(Bytes::from("paid")).with_trailers(async { Some(Ok(trailers)) })))
    }
    let service = Service::new(MemoryStore::new(), |idempotency| {
        Router::new().route("/call", post(call)).with_state(idempotency)
    });
    let call = service.post("/call").key("k1");
    assert_eq!(call.send().await.text(), "paid");
    let again = call.send().await;
    assert_eq!(again.problem_code().as_deref(), Some("idempotency_response_not_replayable"), "{again:?}");
}
