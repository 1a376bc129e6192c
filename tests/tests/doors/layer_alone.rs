//! What the layer does that no other door does: it stands around services that it does not know.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, post};
use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore, Unrecorded, idempotent};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::web::request;

type Runs = Arc<AtomicUsize>;

fn handle() -> Idempotency {
    Idempotency::new(MemoryStore::new())
}

fn layer() -> IdempotencyLayer {
    IdempotencyLayer::new(handle())
}

/// Echoes what it gets, with the number of its run.
fn echo(layer: IdempotencyLayer) -> (Router, Runs) {
    async fn echo(State(runs): State<Runs>, body: Bytes) -> Response {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        ([("x-run", run.to_string())], body).into_response()
    }
    let runs = Runs::default();
    (Router::new().route("/{*path}", any(echo)).layer(layer).with_state(Arc::clone(&runs)), runs)
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn run(&self) -> &str {
        self.headers["x-run"].to_str().unwrap()
    }

    fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

async fn send(router: &Router, request: Request) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

fn keyless(method: Method, path: &str) -> Request {
    Request::builder().method(method).uri(path).header("authorization", "Bearer alice").body(Body::from("5")).unwrap()
}

fn alice(key: &str, body: &str) -> Request {
    request("Bearer alice", key, body)
}

#[tokio::test]
async fn what_has_no_key_passes_unless_one_is_required() {
    let (router, runs) = echo(layer());
    for run in ["1", "2"] {
        let answer = send(&router, keyless(Method::POST, "/work")).await;
        assert_eq!((answer.run(), &answer.body[..], answer.is_replay()), (run, &b"5"[..], false));
    }
    let malformed = send(&router, alice("\"half", "5")).await;
    assert_eq!((malformed.status, malformed.code().as_str()), (StatusCode::BAD_REQUEST, "idempotency_key_invalid"));
    assert_eq!(runs.load(Ordering::SeqCst), 2);

    let (router, runs) = echo(layer().require_key().only(|request| request.uri.path().starts_with("/work")));
    let refused = send(&router, keyless(Method::POST, "/work")).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "idempotency_key_missing"));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(send(&router, keyless(Method::POST, "/other")).await.status, StatusCode::OK);
    assert_eq!(send(&router, keyless(Method::GET, "/work")).await.status, StatusCode::OK, "safe methods need none");
}

#[tokio::test]
async fn safe_methods_and_what_is_left_out_pass_with_a_key_too() {
    let (router, _) = echo(layer().only(|request| request.uri.path() == "/work"));
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        for _ in 0..2 {
            let mut request = keyless(method.clone(), "/work");
            request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
            assert!(!send(&router, request).await.is_replay());
        }
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let of = |path: &str| {
            let mut request = keyless(method.clone(), path);
            request.headers_mut().insert("idempotency-key", method.as_str().parse().unwrap());
            request
        };
        assert!(!send(&router, of("/work")).await.is_replay());
        assert!(send(&router, of("/work")).await.is_replay(), "{method}");
        send(&router, of("/other")).await;
        assert!(!send(&router, of("/other")).await.is_replay(), "{method}");
    }
}

/// Which answers are kept: the status asked for, with a number that tells one run from the next.
fn answering(layer: IdempotencyLayer) -> Router {
    let runs = Runs::default();
    let answer = move |request: Request| {
        let runs = Arc::clone(&runs);
        async move {
            let status: u16 = request.uri().path()[1..].parse().unwrap();
            let run = runs.fetch_add(1, Ordering::SeqCst).to_string();
            (StatusCode::from_u16(status).unwrap(), run)
        }
    };
    Router::new().fallback(answer).layer(layer)
}

async fn is_kept(router: &Router, status: u16) -> bool {
    let request = || {
        let request = Request::post(format!("/{status}")).header("authorization", "Bearer alice");
        request.header("idempotency-key", status.to_string()).body(Body::empty()).unwrap()
    };
    let (first, second) = (send(router, request()).await, send(router, request()).await);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (status, status));
    assert_eq!(first.body == second.body, second.is_replay());
    second.is_replay()
}

/// A 401, a 422 or a 429 was as a rule answered before anything had happened.
#[tokio::test]
async fn successes_and_redirects_are_kept_unless_more_is_said() {
    let (by_default, all, all_but_5xx) =
        (answering(layer()), answering(layer().record_all()), answering(layer().record_all_but_5xx()));
    for (status, kept) in [
        (200, [true, true, true]),
        (201, [true, true, true]),
        (303, [true, true, true]),
        (400, [false, true, true]),
        (401, [false, true, true]),
        (422, [false, true, true]),
        (429, [false, true, true]),
        (500, [false, true, false]),
        (503, [false, true, false]),
    ] {
        let told =
            [is_kept(&by_default, status).await, is_kept(&all, status).await, is_kept(&all_but_5xx, status).await];
        assert_eq!(told, kept, "{status}");
    }
}

#[tokio::test]
async fn a_response_tagged_unrecorded_frees_the_key_below_a_layer_too() {
    let runs = Runs::default();
    let answer = async |State(runs): State<Runs>| match runs.fetch_add(1, Ordering::SeqCst) {
        0 => (Unrecorded, "nothing has happened").into_response(),
        _ => Redirect::to("/paid").into_response(),
    };
    let router = Router::new().route("/work", post(answer)).layer(layer()).with_state(runs);
    assert_eq!(send(&router, alice("k", "")).await.status, StatusCode::OK);
    for replayed in [false, true] {
        let answer = send(&router, alice("k", "")).await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::SEE_OTHER, replayed));
        assert_eq!(answer.headers["location"], "/paid");
    }
}

/// A body whose first poll is told of.
fn watched_body() -> (Body, Arc<AtomicBool>) {
    let polled = Arc::<AtomicBool>::default();
    let told = Arc::clone(&polled);
    let stream = futures_util::stream::once(async move {
        told.store(true, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(b"5"))
    });
    (Body::from_stream(stream), polled)
}

#[tokio::test]
async fn who_is_refused_for_the_head_is_asked_for_no_body() {
    let (router, runs) = echo(layer());
    for (name, value, code) in [
        // Nobody knows whose it is: neither is there an `Authorization`, nor an address.
        ("idempotency-key", "k", "idempotency_caller_unknown"),
        ("idempotency-key", "a,b", "idempotency_key_invalid"),
    ] {
        let (body, polled) = watched_body();
        let refused = send(&router, Request::post("/work").header(name, value).body(body).unwrap()).await;
        assert_eq!((refused.code().as_str(), polled.load(Ordering::SeqCst)), (code, false));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_over_its_limit_is_413_and_costs_no_key() {
    let by_default = (layer(), 2 * 1024 * 1024);
    let by_handle = (IdempotencyLayer::new(handle().max_request_bytes(10)), 10);
    let by_layer = (IdempotencyLayer::new(handle().max_request_bytes(5)).body_limit(10), 10);
    for (layer, limit) in [by_default, by_handle, by_layer] {
        // What is behind it has no limit of its own.
        let (router, runs) = echo(layer);
        let router = Router::new().fallback_service(router.layer(DefaultBodyLimit::disable()));
        let streamed = || {
            let piece = Ok::<_, Infallible>(Bytes::from_static(b"xxxxx"));
            Body::from_stream(futures_util::stream::iter(vec![piece; limit / 5 + 1]))
        };
        for body in [Body::from("x".repeat(limit + 1)), streamed()] {
            let refused = send(&router, alice("k", "").map(|_| body)).await;
            let told = (refused.status, refused.code());
            assert_eq!(told, (StatusCode::PAYLOAD_TOO_LARGE, "idempotency_request_too_large".to_owned()));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        let whole = "x".repeat(limit);
        let answer = send(&router, alice("k", &whole)).await;
        assert_eq!((answer.status, answer.body.len(), answer.is_replay()), (StatusCode::OK, limit, false));
    }
}

#[tokio::test]
async fn a_service_below_keeps_the_limit_that_it_has() {
    let (router, _) = echo(layer().body_limit(4 * 1024 * 1024));
    let large = "x".repeat(3 * 1024 * 1024);
    let refused = send(&router, alice("k", &large)).await;
    assert!(refused.status == StatusCode::PAYLOAD_TOO_LARGE && refused.body.ends_with(b"length limit exceeded"));
    assert!(!send(&router, alice("k", "5")).await.is_replay(), "and its refusal frees the key");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400_and_costs_no_key() {
    let (router, runs) = echo(layer());
    let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"5")), Err(std::io::Error::other("it broke off"))]);
    let refused = send(&router, alice("k", "").map(|_| Body::from_stream(broken))).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "idempotency_request_incomplete"));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert!(!send(&router, alice("k", "5")).await.is_replay());
}

#[tokio::test]
async fn the_service_gets_the_whole_body_however_it_came() {
    let (router, _) = echo(layer());
    let pieces = (0..100_u8).map(|n| Ok::<_, Infallible>(Bytes::from(vec![n; 1 + usize::from(n) * 20])));
    let whole: Vec<u8> = (0..100_u8).flat_map(|n| vec![n; 1 + usize::from(n) * 20]).collect();
    let streamed = Body::from_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
    let first = send(&router, alice("k", "").map(|_| streamed)).await;
    assert_eq!(first.body, whole);
    let again = send(&router, alice("k", "").map(|_| Body::from(whole.clone()))).await;
    assert!(again.is_replay() && again.body == whole, "in one piece it is the same request");
}

#[derive(Clone)]
struct User(u64);

#[tokio::test]
async fn a_caller_is_whom_the_layer_names() {
    let named = layer().principal(|request| request.extensions.get::<User>().map(|user| user.0));
    let (router, _) = echo(named);
    let by = |user: Option<u64>, token: &str| {
        let mut request = request(token, "k", "5");
        user.map(|user| request.extensions_mut().insert(User(user)));
        request
    };
    assert!(!send(&router, by(Some(7), "Bearer old")).await.is_replay());
    assert!(send(&router, by(Some(7), "Bearer new")).await.is_replay());
    assert!(!send(&router, by(Some(8), "Bearer new")).await.is_replay());
    let nobody = send(&router, by(None, "Bearer new")).await;
    let told = (nobody.status, nobody.code());
    assert_eq!(told, (StatusCode::INTERNAL_SERVER_ERROR, "idempotency_caller_unknown".to_owned()));
}

/// The layer and the attribute make the same key, caller and fingerprint of the same values.
#[tokio::test]
async fn what_the_layer_records_the_attribute_replays() {
    #[idempotent(key = order, principal = "shop", fingerprint = order)]
    async fn annotated(order: String) -> String {
        format!("run for {order}")
    }
    let handle = handle();
    let layer = IdempotencyLayer::new(handle.clone())
        .key(|request| request.headers.get("x-order")?.to_str().ok().map(str::to_owned))
        .principal(|_| Some("shop"))
        .fingerprint(|request| request.headers.get("x-order")?.to_str().ok().map(str::to_owned));
    let (layered, runs) = echo(layer);
    let attribute = Router::new().route("/work", post(annotated)).with_state(handle);
    let order = |header: &'static str, body: &'static str| {
        Request::post("/work").header("x-order", header).body(Body::from(body)).unwrap()
    };
    assert_eq!(send(&layered, order("1", "whatever")).await.run(), "1");
    assert!(send(&layered, order("1", "another body")).await.is_replay(), "the order alone must match");
    assert!(send(&attribute, order("", "1")).await.is_replay());
    assert_eq!(send(&layered, keyless(Method::POST, "/work")).await.run(), "2", "what has no order has no key");
    assert!(!send(&attribute, order("", "2")).await.is_replay());
    assert!(send(&layered, order("2", "")).await.is_replay());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[derive(Debug, PartialEq)]
struct Away;

/// Fails as a client to another server does, and then answers.
#[tokio::test]
async fn an_error_of_the_service_is_passed_on_and_frees_the_key() {
    let runs = Runs::default();
    let counter = Arc::clone(&runs);
    let upstream = service_fn(move |request: Request| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if run < 3 { Err(Away) } else { Ok(http::Response::new(Full::new(body))) }
        }
    });
    // As hyper and others have them: neither request nor response has axum's body.
    let mut service = ServiceBuilder::new().layer(layer()).service(upstream);
    let mut send = async |key: &str| {
        let request = alice(key, "").map(|_| Full::new(Bytes::from_static(b"5")));
        ServiceExt::<http::Request<Full<Bytes>>>::ready(&mut service).await?.call(request).await
    };
    assert_eq!(send("k").await.unwrap_err(), Away);
    assert_eq!(send("k").await.unwrap_err(), Away, "the key is free at once");
    for replayed in [false, true] {
        let answer = send("k").await.unwrap();
        assert_eq!(answer.headers().contains_key("idempotency-replayed"), replayed);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "5");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

/// A service that is called only where it was polled ready before, as tower has it.
struct Strict {
    is_ready: bool,
    is_full: Arc<AtomicBool>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { is_ready: false, is_full: Arc::clone(&self.is_full) }
    }
}

impl Service<Request> for Strict {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_full.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        assert!(self.is_ready, "it was not asked whether it is ready");
        Box::pin(async { Ok("5".into_response()) })
    }
}

#[tokio::test]
async fn a_service_is_called_only_once_it_is_ready() {
    let is_full = Arc::<AtomicBool>::default();
    let mut service = layer().layer(Strict { is_ready: false, is_full: Arc::clone(&is_full) });
    for request in [alice("k", "5"), alice("k", "5"), keyless(Method::POST, "/work"), alice("another", "5")] {
        let ready = ServiceExt::<Request>::ready(&mut service).await.unwrap();
        let answer = ready.call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    is_full.store(true, Ordering::SeqCst);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Service::<Request>::poll_ready(&mut service, &mut context).is_pending(), "who calls is told to wait");
}

/// Who is ready has the one place, until it is answered.
struct OneAtATime {
    place: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Clone for OneAtATime {
    fn clone(&self) -> Self {
        Self { place: Arc::clone(&self.place), taken: None }
    }
}

impl Service<Request> for OneAtATime {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.taken = self.taken.take().or_else(|| Arc::clone(&self.place).try_acquire_owned().ok());
        if self.taken.is_some() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request) -> Self::Future {
        let taken = self.taken.take().expect("it was polled ready");
        Box::pin(async {
            drop(taken);
            Ok("5".into_response())
        })
    }
}

/// What was replayed, or refused, holds no place.
#[tokio::test]
async fn a_place_below_is_given_back_however_a_request_is_answered() {
    let mut service = layer().layer(OneAtATime { place: Arc::new(Semaphore::new(1)), taken: None });
    let too_large = alice("large", "").map(|_| Body::from(vec![0; 3 * 1024 * 1024]));
    for request in [alice("k", "5"), alice("k", "5"), alice("k", "6"), too_large, alice("another", "5")] {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let is_ready = Service::<Request>::poll_ready(&mut service, &mut context).is_ready();
        assert!(is_ready, "the one place is free");
        service.call(request).await.unwrap();
    }
}

/// A stream of events ends nowhere: it goes out as it comes, and a retry is told that there is nothing to replay.
#[tokio::test]
async fn what_cannot_be_replayed_goes_out_and_is_not_run_again() {
    let events = async || {
        let events = futures_util::stream::iter(["data: 1\n\n", "data: 2\n\n"]).map(Ok::<_, Infallible>);
        ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
    };
    let router = Router::new().route("/work", post(events)).layer(layer());
    assert_eq!(send(&router, alice("k", "")).await.body, "data: 1\n\ndata: 2\n\n");
    let again = send(&router, alice("k", "")).await;
    assert_eq!(again.code(), "idempotency_response_not_replayable");
}

/// The layers between see each request; what stands outside of the layer is not recorded.
#[tokio::test]
async fn what_stands_outside_of_the_layer_is_asked_again() {
    async fn authenticate(request: Request, next: axum::middleware::Next) -> Response {
        if request.headers().contains_key("x-revoked") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        next.run(request).await
    }
    let (router, runs) = echo(layer());
    let router = router.layer(axum::middleware::from_fn(authenticate));
    assert_eq!(send(&router, alice("k", "5")).await.status, StatusCode::OK);
    assert!(send(&router, alice("k", "5")).await.is_replay());
    let mut revoked = alice("k", "5");
    revoked.headers_mut().insert("x-revoked", "1".parse().unwrap());
    assert_eq!(send(&router, revoked).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// The whole path is compared, which a nested router cuts.
#[tokio::test]
async fn two_nested_routers_under_one_layer_are_two_operations() {
    let (inner, runs) = echo(layer());
    let router = Router::new().nest("/a", inner.clone()).nest("/b", inner);
    let at = |path: &str| {
        let mut request = alice("k", "5");
        *request.uri_mut() = path.parse().unwrap();
        request
    };
    assert_eq!(send(&router, at("/a/work")).await.status, StatusCode::OK);
    assert!(send(&router, at("/a/work")).await.is_replay());
    assert_eq!(send(&router, at("/b/work")).await.code(), "idempotency_key_conflict");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// A future that a caller may hold anywhere.
#[test]
fn the_service_can_be_shared_as_tower_has_it() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let service = service_fn(async |_: Request| Ok::<_, Infallible>("5".into_response()));
    let mut service = layer().layer(service);
    is_send(&service);
    let future: Pin<Box<_>> = service.call(alice("k", "5"));
    is_send(&future);
}
