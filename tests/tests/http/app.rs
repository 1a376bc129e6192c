//! A small service under test, and a way to call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Json, Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tower::ServiceExt;

#[derive(Clone)]
pub struct App {
    pub idempotency: Idempotency,
    /// How often the handler's effect happened.
    pub effects: Arc<AtomicUsize>,
    /// Lets a handler that was told to wait go on.
    pub gate: Arc<Notify>,
    /// Told by a handler that begins to wait.
    pub waiting: Arc<Notify>,
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idempotency.clone()
    }
}

impl App {
    pub fn new() -> Self {
        Self::over(Idempotency::new(MemoryStore::new()))
    }

    pub fn over(idempotency: Idempotency) -> Self {
        Self { idempotency, effects: Arc::default(), gate: Arc::default(), waiting: Arc::default() }
    }

    pub fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/payments", post(pay).get(pay).put(pay))
            .route("/optional", post(pay_optionally))
            .with_state(self.clone())
    }

    /// Sends [`held`] on a task of its own, and returns once its handler waits at the gate.
    pub async fn hold(&self) -> JoinHandle<Answer> {
        let app = self.clone();
        let running = tokio::spawn(async move { app.send(held()).await });
        self.waiting.notified().await;
        running
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(self.router(), request).await
    }
}

#[derive(Deserialize)]
pub struct Payment {
    amount: i64,
}

#[derive(Deserialize)]
pub struct Trouble {
    #[serde(default)]
    wait: bool,
    #[serde(default)]
    panic: bool,
    fail: Option<u16>,
}

async fn effect(app: &App, trouble: Trouble, payment: Payment) -> Response {
    assert!(!trouble.panic, "told to panic");
    if trouble.wait {
        app.waiting.notify_one();
        app.gate.notified().await;
    }
    let count = app.effects.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(status) = trouble.fail {
        return (StatusCode::from_u16(status).unwrap(), format!("failed, effect {count}")).into_response();
    }
    let headers =
        [(LOCATION, format!("/payments/{count}")), (HeaderName::from_static("x-request-id"), count.to_string())];
    (StatusCode::CREATED, headers, Json(json!({ "id": count, "amount": payment.amount }))).into_response()
}

#[idempotent]
async fn pay(State(app): State<App>, Query(trouble): Query<Trouble>, Json(payment): Json<Payment>) -> Response {
    effect(&app, trouble, payment).await
}

#[idempotent(optional)]
async fn pay_optionally(
    State(app): State<App>,
    Query(trouble): Query<Trouble>,
    Json(payment): Json<Payment>,
) -> Response {
    effect(&app, trouble, payment).await
}

/// A request by one caller, with a key and a JSON body.
pub fn request(key: &str, uri: &str, body: &str) -> Request<Body> {
    keyless(uri, body, |request| request.header("idempotency-key", key))
}

/// A request under the key `k1` whose handler waits at the gate.
pub fn held() -> Request<Body> {
    request("k1", "/payments?wait=true", r#"{"amount":100}"#)
}

pub fn keyless(
    uri: &str,
    body: &str,
    more: impl FnOnce(axum::http::request::Builder) -> axum::http::request::Builder,
) -> Request<Body> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(AUTHORIZATION, "Bearer alice")
        .header(CONTENT_TYPE, "application/json");
    more(request).body(Body::from(body.to_owned())).unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// The stable code of a problem, after checking that it is a whole problem document.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{:?}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{member} in {problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub async fn send(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Waits until `condition` holds, which must be soon.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be that {what}");
}
