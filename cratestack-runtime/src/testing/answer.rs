use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a [`Service`](super::Service) answered, read to its end.
///
/// ```
/// use axum::{Router, routing::get};
/// use cratestack_runtime::{MemoryStore, testing};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = testing::Service::new(MemoryStore::new(), |idempotency| {
///     Router::new().route("/", get(|| async { "hello" })).with_state(idempotency)
/// });
/// let answer = service.get("/").send().await;
/// assert_eq!((answer.status().as_u16(), answer.text(), answer.is_replay()), (200, "hello", false));
/// # }
/// ```
#[derive(Clone)]
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// Its status.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.status(), 200);
    /// # }
    /// ```
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.headers()["content-length"], "1");
    /// # }
    /// ```
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a header; `None` where there is none, or it is no text.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.header("content-type"), Some("application/json"));
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Its body.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.body(), "5");
    /// # }
    /// ```
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Its body as text.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.text(), "5");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("the body is no text ({error}): {self:?}"))
    }

    /// Its body, read as JSON.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.json::<u32>(), 5);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not the JSON of a `T`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not the JSON of the type ({error}): {self:?}"))
    }

    /// Whether it comes from a record: `Idempotency-Replayed` says so.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert!(!answer.is_replay());
    /// # }
    /// ```
    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    /// The `code` of a problem, such as `idempotency_key_conflict`; `None` of any other answer.
    ///
    /// ```
    /// # use axum::{Json, Router, routing::get};
    /// # use cratestack_runtime::{MemoryStore, testing::Service};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/", get(|| async { Json(5) })).with_state(idempotency)
    /// # });
    /// let answer = service.get("/").send().await;
    /// assert_eq!(answer.problem_code(), None);
    /// # }
    /// ```
    pub fn problem_code(&self) -> Option<String> {
        let kind = self.header("content-type").filter(|kind| kind.starts_with("application/problem+json"));
        let problem: Value = kind.and_then(|_| serde_json::from_slice(&self.body).ok())?;
        problem["code"].as_str().map(str::to_owned)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body } = self;
        let body = String::from_utf8_lossy(body);
        f.debug_struct("Answer").field("status", status).field("headers", headers).field("body", &body).finish()
    }
}
