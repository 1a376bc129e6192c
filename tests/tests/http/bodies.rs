//! What is buffered, what is kept, and what is passed on.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, MAX_BODY_BYTES, MemoryStore, idempotent};
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, SizeHint};
use tower::ServiceExt;

use crate::app::{Answer, App, keyless, request, send};

#[idempotent]
async fn length(body: Bytes) -> String {
    body.len().to_string()
}

fn lengths(idempotency: Idempotency) -> Router {
    Router::new().route("/length", post(length)).with_state(idempotency)
}

async fn of_length(router: Router, key: &str, bytes: usize) -> Answer {
    let mut request = request(key, "/length", "");
    *request.body_mut() = Body::from(vec![b'x'; bytes]);
    send(router, request).await
}

#[tokio::test]
async fn a_request_over_the_bound_is_413_and_reserves_nothing() {
    let router = lengths(Idempotency::new(MemoryStore::new()));
    let large = of_length(router.clone(), "k1", MAX_BODY_BYTES + 1).await;
    assert_eq!((large.status, large.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "idempotency_request_too_large"));
    let exact = of_length(router, "k1", MAX_BODY_BYTES).await;
    assert_eq!((exact.status, exact.is_replay()), (StatusCode::OK, false));
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_as_it_arrives() {
    let app = App::new();
    let endless = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])));
    let mut request = request("k1", "/payments", "");
    *request.body_mut() = Body::from_stream(endless);
    assert_eq!(app.send(request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_cut_short_is_400_and_reserves_nothing() {
    let app = App::new();
    let cut = [Ok(r#"{"amount""#), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let mut broken = request("k1", "/payments", "");
    *broken.body_mut() = Body::from_stream(stream::iter(cut));
    let answer = app.send(broken).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "idempotency_request_incomplete"));
    assert_eq!(app.send(request("k1", "/payments", r#"{"amount":1}"#)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_handles_bound_and_axums_limit_are_one() {
    let handle = || Idempotency::new(MemoryStore::new());
    let status = async |router: Router, bytes| of_length(router, "k1", bytes).await.status;
    let large = lengths(handle().max_request_bytes(3 * MAX_BODY_BYTES));
    assert_eq!(status(large.clone(), 3 * MAX_BODY_BYTES).await, StatusCode::OK, "ours is the larger one");
    assert_eq!(status(large, 3 * MAX_BODY_BYTES + 1).await, StatusCode::PAYLOAD_TOO_LARGE);
    let small = lengths(handle().max_request_bytes(10));
    assert_eq!(status(small.clone(), 10).await, StatusCode::OK);
    assert_eq!(status(small, 11).await, StatusCode::PAYLOAD_TOO_LARGE, "ours is the smaller one");
    let axums = lengths(handle()).layer(DefaultBodyLimit::max(3 * MAX_BODY_BYTES));
    assert_eq!(status(axums.clone(), 3 * MAX_BODY_BYTES).await, StatusCode::OK, "axum's alone, larger");
    assert_eq!(status(axums, 3 * MAX_BODY_BYTES + 1).await, StatusCode::PAYLOAD_TOO_LARGE);
    let axums = lengths(handle()).layer(DefaultBodyLimit::max(10));
    assert_eq!(status(axums, 11).await, StatusCode::PAYLOAD_TOO_LARGE, "axum's alone, smaller");
    let both = lengths(handle().max_request_bytes(20)).layer(DefaultBodyLimit::max(10));
    assert_eq!(status(both, 20).await, StatusCode::OK, "what is set for the guard holds");
    let unlimited = lengths(handle()).layer(DefaultBodyLimit::disable());
    assert_eq!(status(unlimited, MAX_BODY_BYTES + 1).await, StatusCode::PAYLOAD_TOO_LARGE, "never without a bound");
}

#[tokio::test]
async fn a_limit_in_front_of_the_guard_is_413_too() {
    let app = App::new();
    let mut request = request("k1", "/payments", "");
    *request.body_mut() = Body::new(http_body_util::Limited::new(Body::from(vec![b'x'; 100]), 10));
    let answer = app.send(request).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "idempotency_request_too_large")
    );
}

/// A response of the kind that the request asks for, and the number of times that it ran.
#[idempotent]
async fn respond(State(app): State<App>, headers: HeaderMap) -> Response<Body> {
    let count = app.effects.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
    let kind = headers.get("x-kind").unwrap().to_str().unwrap().to_owned();
    let body = match kind.as_str() {
        "large" => Body::from(vec![b'x'; 1001]),
        "pieces" => pieces(["abc"; 3].map(data)),
        "pieces-over" => pieces(["abc"; 500].map(data)),
        "trailers" => pieces([data("abc"), Frame::trailers(checksum())]),
        "broken" => Body::from_stream(stream::iter([Ok("abc"), Err(std::io::Error::other("lost the upstream"))])),
        "panics" => Body::from_stream(stream::iter(["abc", "panic"]).map(|piece| {
            assert_ne!(piece, "panic", "on purpose");
            Ok::<_, Infallible>(piece)
        })),
        "events" => pieces(["data: x\n\n"; 2].map(data)),
        "endless" => Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>("tick"), ()))
        })),
        "empty" => PanicsWhenDropped::over(Body::empty()),
        "finished" => PanicsWhenDropped::over(Body::from("abc")),
        "in-pieces" => PanicsWhenDropped::over(pieces(["abc"; 3].map(data))),
        "over" => PanicsWhenDropped::over(pieces(["abc"; 500].map(data))),
        "announced-over" => PanicsWhenDropped::over(Body::from(vec![b'x'; 1001])),
        "with-trailers" => PanicsWhenDropped::over(pieces([data("abc"), Frame::trailers(checksum())])),
        "and-before" => PanicsWhenDropped::over(Body::from_stream(stream::iter(["abc"]).map(|piece| {
            assert_ne!(piece, "abc", "on purpose");
            Ok::<_, Infallible>(piece)
        }))),
        other => panic!("no kind {other}"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert("x-count", HeaderValue::from(count));
    if kind == "events" {
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream; charset=utf-8"));
    }
    response
}

struct PanicsWhenDropped(Body);

impl PanicsWhenDropped {
    fn over(body: Body) -> Body {
        Body::new(Self(body))
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

impl hyper::body::Body for PanicsWhenDropped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.0.size_hint();
        assert_ne!(hint.exact(), Some(0), "on purpose");
        hint
    }
}

fn data(piece: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(piece.as_bytes()))
}

fn checksum() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("7"))])
}

fn pieces(frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + 'static>) -> Body {
    Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Infallible>))))
}

fn responses(app: &App) -> Router {
    Router::new().route("/respond", post(respond)).with_state(app.clone())
}

fn ask(kind: &'static str) -> Request<Body> {
    let mut request = request(kind, "/respond", "");
    request.headers_mut().insert("x-kind", HeaderValue::from_static(kind));
    request
}

fn bounded() -> App {
    App::over(Idempotency::new(MemoryStore::new()).max_response_bytes(1000))
}

#[tokio::test]
async fn a_response_in_pieces_is_kept_whole() {
    let app = bounded();
    let first = send(responses(&app), ask("pieces")).await;
    let again = send(responses(&app), ask("pieces")).await;
    assert_eq!((first.body, again.is_replay(), again.body), ("abcabcabc".into(), true, "abcabcabc".into()));
}

#[tokio::test]
async fn a_response_that_cannot_be_kept_goes_out_unharmed_and_never_runs_again() {
    for (kind, body) in [
        ("large", "x".repeat(1001)),
        ("pieces-over", "abc".repeat(500)),
        ("events", "data: x\n\n".repeat(2)),
        ("trailers", "abc".to_owned()),
    ] {
        let app = bounded();
        let first = send(responses(&app), ask(kind)).await;
        assert_eq!((first.status, first.body), (StatusCode::ACCEPTED, Bytes::from(body)), "{kind}");
        let again = send(responses(&app), ask(kind)).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{kind}");
        assert_eq!(again.code(), "idempotency_response_not_replayable");
        assert_eq!(again.json()["original_status"], 202);
        assert!(!again.is_replay(), "it is not the recorded response");
        assert_eq!(again.header("idempotency-tombstone"), None);
        assert_eq!(app.effects(), 1, "{kind}");
    }
}

#[tokio::test]
async fn trailers_reach_the_client() {
    let response = responses(&bounded()).oneshot(ask("trailers")).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-checksum"], "7");
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_at_the_client_and_is_not_run_again() {
    for kind in ["broken", "panics"] {
        let app = bounded();
        let response = responses(&app).oneshot(ask(kind)).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(body.frame().await.unwrap().is_err(), "{kind}");
        let again = send(responses(&app), ask(kind)).await;
        assert_eq!(again.code(), "idempotency_response_not_replayable", "{kind}");
        assert_eq!(app.effects(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_panics_when_it_is_dropped_takes_nothing_along() {
    // The hint of the empty one panics too.
    for (kind, body) in [("empty", ""), ("finished", "abc"), ("in-pieces", "abcabcabc")] {
        let app = bounded();
        let first = send(responses(&app), ask(kind)).await;
        assert_eq!((first.status, &first.body[..]), (StatusCode::ACCEPTED, body.as_bytes()), "{kind}");
        for _ in 0..2 {
            let again = send(responses(&app), ask(kind)).await;
            assert_eq!((again.is_replay(), &again.body[..]), (true, body.as_bytes()), "{kind}");
        }
        assert_eq!(app.effects(), 1, "{kind}");
    }
    for kind in ["over", "announced-over", "with-trailers", "and-before"] {
        let app = bounded();
        let first = responses(&app).oneshot(ask(kind)).await.unwrap();
        assert_eq!(first.status(), StatusCode::ACCEPTED, "{kind}");
        assert_eq!(first.into_body().collect().await.is_err(), kind == "and-before", "{kind}");
        for _ in 0..2 {
            let again = send(responses(&app), ask(kind)).await;
            assert_eq!(again.code(), "idempotency_response_not_replayable", "{kind}");
        }
        assert_eq!(app.effects(), 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_streamed_after_a_while() {
    let app = bounded();
    let response = responses(&app).oneshot(ask("endless")).await.unwrap();
    let mut body = response.into_body();
    for _ in 0..20 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "tick");
    }
    let again = send(responses(&app), ask("endless")).await;
    assert_eq!(again.code(), "idempotency_response_not_replayable");
    assert_eq!(app.effects(), 1);
}

#[tokio::test]
async fn an_unguarded_large_body_is_left_to_axum() {
    let router = lengths(Idempotency::new(MemoryStore::new()));
    let mut request = keyless("/length", "", |request| request);
    *request.body_mut() = Body::from(vec![b'x'; MAX_BODY_BYTES + 1]);
    let answer = send(router, request).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}
