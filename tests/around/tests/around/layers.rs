//! tower-http's layers, on the router and on the handler: both are outside the guard, so that nothing of theirs is
//! recorded.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::handler::Handler as _;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::server::{Answer, Server};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    runs: Arc<AtomicU32>,
}

fn app() -> App {
    App { idempotency: Idempotency::new(MemoryStore::new()), runs: Arc::default() }
}

const TEXT: &str = "paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid, paid";

#[idempotent(wait = "30s")]
async fn pay(State(runs): State<Arc<AtomicU32>>) -> String {
    format!("{TEXT} {}", runs.fetch_add(1, Ordering::SeqCst))
}

/// The layer both on the router and on the handler itself: a server for each.
macro_rules! on_router_and_on_handler {
    ($layer:expr) => {
        [
            Server::start(Router::new().route("/payments", post(pay)).layer($layer).with_state(app())).await,
            Server::start(Router::new().route("/payments", post(pay.layer($layer))).with_state(app())).await,
        ]
    };
}

async fn send(server: &Server, headers: &[(&str, &str)]) -> Answer {
    server.post("/payments", &[&[("idempotency-key", "k1")], headers].concat(), "5").await
}

/// What is recorded is what the handler said. Each client gets it as it asked for it, and no body is compressed twice.
#[tokio::test]
async fn a_replay_is_compressed_for_who_accepts_it_and_for_nobody_else() {
    for server in on_router_and_on_handler!(CompressionLayer::new().compress_when(SizeAbove::new(16))) {
        let gzip = [("accept-encoding", "gzip")];
        let (first, again, plain) = (send(&server, &gzip).await, send(&server, &gzip).await, send(&server, &[]).await);
        assert_eq!(first.header("content-encoding"), Some("gzip"), "{first:?}");
        assert!(first.body.starts_with(&[0x1f, 0x8b]) && !first.is_replay());
        assert_eq!((again.is_replay(), again.header("content-encoding")), (true, Some("gzip")));
        assert_eq!(again.body, first.body, "compressed once");
        assert_eq!((plain.is_replay(), plain.header("content-encoding")), (true, None));
        assert_eq!(plain.text(), format!("{TEXT} 0"));
        assert_eq!(plain.header("content-length"), Some(plain.body.len().to_string().as_str()));
    }
}

/// The request that the guard sees is the one that the handler sees.
#[tokio::test]
async fn a_retry_may_be_compressed_in_another_way_than_its_first() {
    for server in on_router_and_on_handler!(RequestDecompressionLayer::new()) {
        let plain = send(&server, &[]).await;
        let zipped = gzip(b"5");
        let headers = [("idempotency-key", "k1"), ("content-encoding", "gzip")];
        let zipped = server.post("/payments", &headers, zipped).await;
        assert!(zipped.is_replay() && zipped.body == plain.body, "{zipped:?}");
    }
}

/// As a stored block, which needs no compressor.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let length = u16::try_from(text.len()).unwrap();
    let mut zipped = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    zipped.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    zipped.extend(text);
    zipped.extend((!crc).to_le_bytes());
    zipped.extend(u32::from(length).to_le_bytes());
    zipped
}

/// Every origin gets its own permission, on a replay too, and a page may read the mark.
#[tokio::test]
async fn a_replay_has_the_cors_headers_of_the_origin_that_asks() {
    let cors = || {
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(|origin, _| origin.as_bytes().ends_with(b".shop.example")))
            .allow_credentials(true)
            .allow_methods([Method::POST])
            .allow_headers([header::HeaderName::from_static("idempotency-key")])
            .expose_headers([header::HeaderName::from_static("idempotency-replayed")])
    };
    let servers = on_router_and_on_handler!(cors());
    // A browser asks whether it may send the key; on a handler for `POST` alone, nobody would answer.
    let headers = [
        ("origin", "https://a.shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "idempotency-key"),
    ];
    let asked = servers[0].send(Method::OPTIONS, "/payments", &headers, Body::empty()).await;
    assert_eq!((asked.status, asked.header("access-control-allow-headers")), (200, Some("idempotency-key")));
    for server in servers {
        let allowed = "access-control-allow-origin";
        let first = send(&server, &[("origin", "https://a.shop.example")]).await;
        assert_eq!((first.is_replay(), first.header(allowed)), (false, Some("https://a.shop.example")));
        let other = send(&server, &[("origin", "https://b.shop.example")]).await;
        assert_eq!((other.is_replay(), other.header(allowed)), (true, Some("https://b.shop.example")));
        assert_eq!(other.header("access-control-expose-headers"), Some("idempotency-replayed"));
        let stranger = send(&server, &[("origin", "https://evil.example")]).await;
        assert_eq!((stranger.is_replay(), stranger.header(allowed)), (true, None), "{stranger:?}");
        let values = other.headers.get_all(allowed).iter().count();
        assert_eq!(values, 1, "{other:?}");
    }
}

/// What a handler says itself is its outcome, and is frozen: a service that does CORS in the handler has to leave it out.
#[tokio::test]
async fn a_header_that_the_handler_writes_is_frozen_unless_it_is_omitted() {
    #[idempotent]
    async fn pay(headers: axum::http::HeaderMap) -> impl IntoResponse {
        let origin = headers.get("origin").cloned().unwrap_or(HeaderValue::from_static("null"));
        let id = headers.get("x-request-id").cloned().unwrap_or(HeaderValue::from_static("none"));
        AppendHeaders([
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            (header::HeaderName::from_static("x-request-id"), id),
        ])
    }
    let frozen = Idempotency::new(MemoryStore::new());
    let omitted = Idempotency::new(MemoryStore::new())
        .omit_header(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        .omit_header(header::HeaderName::from_static("x-request-id"));
    for (idempotency, expected) in [(frozen, [Some("https://a"), Some("1")]), (omitted, [None, None])] {
        let server = Server::start(Router::new().route("/payments", post(pay)).with_state(idempotency)).await;
        send(&server, &[("origin", "https://a"), ("x-request-id", "1")]).await;
        let again = send(&server, &[("origin", "https://b"), ("x-request-id", "2")]).await;
        assert!(again.is_replay());
        assert_eq!([again.header("access-control-allow-origin"), again.header("x-request-id")], expected);
    }
}

/// The answer of 503 comes from the layer. The run goes on, and the retry gets its outcome.
#[tokio::test]
async fn a_timeout_that_fires_does_not_lose_the_run() {
    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>, gate: axum::Extension<Arc<Semaphore>>) -> String {
        gate.acquire().await.unwrap().forget();
        format!("paid {}", runs.fetch_add(1, Ordering::SeqCst))
    }
    let timeout = || TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(100));
    for on_handler in [false, true] {
        let (app, gate) = (app(), Arc::new(Semaphore::new(0)));
        let runs = Arc::clone(&app.runs);
        let router = if on_handler {
            Router::new().route("/payments", post(pay.layer(timeout())))
        } else {
            Router::new().route("/payments", post(pay)).layer(timeout())
        };
        let server = Server::start(router.layer(axum::Extension(Arc::clone(&gate))).with_state(app)).await;
        let timed_out = send(&server, &[]).await;
        assert_eq!((timed_out.status, timed_out.is_replay()), (503, false), "{timed_out:?}");
        let meanwhile = send(&server, &[]).await;
        assert_eq!(meanwhile.status, 409, "it is running: {meanwhile:?}");
        gate.add_permits(1);
        let retry = loop {
            let retry = send(&server, &[]).await;
            if retry.status != 409 {
                break retry;
            }
        };
        assert!(retry.is_replay() && retry.text() == "paid 0", "{retry:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

/// A limit counts the requests that wait for their answers.
#[tokio::test]
async fn a_limit_on_requests_does_not_count_a_run_whose_client_has_gone() {
    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>, gate: axum::Extension<Arc<Semaphore>>) {
        runs.fetch_add(1, Ordering::SeqCst);
        gate.acquire().await.unwrap().forget();
    }
    let (app, gate) = (app(), Arc::new(Semaphore::new(0)));
    let (runs, idempotency) = (Arc::clone(&app.runs), app.idempotency.clone());
    let router = Router::new().route("/payments", post(pay)).layer(GlobalConcurrencyLimitLayer::new(1));
    let server = Server::start(router.layer(axum::Extension(Arc::clone(&gate))).with_state(app)).await;
    for run in 1..=3 {
        let key = format!("k{run}");
        let headers = [("idempotency-key", key.as_str())];
        tokio::select! {
            biased;
            answer = server.post("/payments", &headers, "") => panic!("it waits: {answer:?}"),
            () = async { while runs.load(Ordering::SeqCst) < run { tokio::task::yield_now().await } } => {}
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3, "one after the other they came in, and all of them run");
    gate.add_permits(3);
    assert_eq!(idempotency.shutdown(Duration::from_secs(30)).await, 0);
}

/// Each answer is told by its own request's id; the handler sees that of the first.
#[tokio::test]
async fn a_replay_has_the_id_of_its_own_request() {
    #[idempotent]
    async fn pay(axum::Extension(id): axum::Extension<RequestId>) -> String {
        id.header_value().to_str().unwrap().to_owned()
    }
    let layers = tower::ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id());
    for router in [
        Router::new().route("/payments", post(pay)).layer(layers.clone()),
        Router::new().route("/payments", post(pay.layer(layers.clone()))),
    ] {
        let server = Server::start(router.with_state(Idempotency::new(MemoryStore::new()))).await;
        let (first, again) = (send(&server, &[]).await, send(&server, &[]).await);
        assert_eq!(first.header("x-request-id"), Some(first.text()));
        assert!(again.is_replay() && again.body == first.body);
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        assert!(again.header("x-request-id").is_some());
    }
}

/// The bound is the layer's, the answer the guard's; the key is free for a smaller request.
#[tokio::test]
async fn a_bound_of_a_layer_is_413_and_takes_no_key() {
    for server in on_router_and_on_handler!(RequestBodyLimitLayer::new(10)) {
        // In pieces, so that no length announces it.
        let pieces =
            futures_util::stream::iter(["01234567", "89abcdef"].map(|piece| Ok::<_, Infallible>(piece.into())));
        let large = server.post_stream("/payments", &[("idempotency-key", "k1")], pieces).await;
        assert_eq!((large.status, large.is_replay()), (413, false), "{large:?}");
        let small = send(&server, &[]).await;
        assert_eq!((small.status, small.is_replay()), (200, false), "{small:?}");
    }
}

/// The guard has answered by then, and the key is free.
#[tokio::test]
async fn a_panic_is_answered_by_the_guard_and_a_layer_that_catches_it_sees_none() {
    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>) -> &'static str {
        assert_ne!(runs.fetch_add(1, Ordering::SeqCst), 0, "the first one panics, on purpose");
        "paid"
    }
    let router = Router::new().route("/payments", post(pay)).layer(CatchPanicLayer::new()).with_state(app());
    let server = Server::start(router).await;
    let panicked = send(&server, &[]).await;
    assert_eq!(panicked.status, 500);
    assert!(panicked.text().contains("idempotency_handler_panicked"), "{panicked:?}");
    let retry = send(&server, &[]).await;
    assert_eq!((retry.text(), retry.is_replay()), ("paid", false));
}

/// A record has no place for what a handler leaves in its response's extensions: a layer that counts on it sees it of the
/// run, and not of a replay.
#[tokio::test]
async fn what_a_handler_tells_a_layer_beside_its_response_is_told_once() {
    #[derive(Clone)]
    struct Paid(u32);

    #[idempotent]
    async fn pay() -> (axum::Extension<Paid>, &'static str) {
        (axum::Extension(Paid(5)), "paid")
    }
    let told = Arc::new(AtomicU32::new(0));
    let ledger = Arc::clone(&told);
    let layer = axum::middleware::map_response(move |response: Response| {
        if let Some(Paid(amount)) = response.extensions().get() {
            ledger.fetch_add(*amount, Ordering::SeqCst);
        }
        std::future::ready(response)
    });
    let router = Router::new().route("/payments", post(pay)).layer(layer);
    let server = Server::start(router.with_state(Idempotency::new(MemoryStore::new()))).await;
    for is_replay in [false, true] {
        assert_eq!(send(&server, &[]).await.is_replay(), is_replay);
    }
    assert_eq!(told.load(Ordering::SeqCst), 5);
}

/// What a handler logs lies in the span of the request that it runs for, though it runs on a task of its own.
#[tokio::test]
async fn a_handlers_log_lies_in_its_requests_span() {
    #[idempotent]
    async fn pay() {
        tokio::task::yield_now().await;
        tracing::info!("paying");
    }
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    let _log = tracing::subscriber::set_default(subscriber);
    let trace =
        || TraceLayer::new_for_http().make_span_with(|_: &axum::http::Request<_>| tracing::info_span!("request"));
    let state = || Idempotency::new(MemoryStore::new());
    for router in [
        Router::new().route("/payments", post(pay)).layer(trace()).with_state(state()),
        Router::new().route("/payments", post(pay.layer(trace()))).with_state(state()),
    ] {
        let server = Server::start(router).await;
        for replay in [false, true] {
            assert_eq!(send(&server, &[]).await.is_replay(), replay);
        }
    }
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 2, "each ran once: {seen:?}");
    for spans in &*seen {
        assert!(spans.starts_with(&["request".to_owned()]) && spans.len() > 1, "and in the run's own: {seen:?}");
    }
}

/// The spans around each "paying", from the outermost on.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Vec<String>>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Seen {
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        struct IsPaying(bool);
        impl Visit for IsPaying {
            fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                self.0 |= format!("{value:?}") == "paying";
            }
        }
        let mut paying = IsPaying(false);
        event.record(&mut paying);
        if paying.0 {
            let scope = context.event_scope(event).unwrap();
            let spans = scope.from_root().map(|span| span.name().to_owned()).collect();
            self.0.lock().unwrap().push(spans);
        }
    }
}
