use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::Serialize;

use super::answer::Answer;
use super::host::{Died, Host};
use super::test_store::TestStore;

/// A request to a [`Service`](super::Service), which can be sent any number of times: a retry is the same request.
///
/// ```
/// use axum::{Json, Router, routing::post};
/// use cratestack_runtime::{MemoryStore, idempotent, testing};
/// use serde_json::{Value, json};
///
/// #[idempotent]
/// async fn pay(Json(payment): Json<Value>) -> Json<Value> {
///     Json(json!({ "paid": payment["amount"] }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = testing::Service::new(MemoryStore::new(), |idempotency| {
///     Router::new().route("/payments", post(pay)).with_state(idempotency)
/// });
/// let payment = service.post("/payments").header("authorization", "Bearer alice").key("k1");
/// let answer = payment.clone().json(&json!({ "amount": 5 })).send().await;
/// assert_eq!(answer.json::<Value>()["paid"], 5);
///
/// let other = payment.json(&json!({ "amount": 6 })).send().await;
/// assert_eq!(other.problem_code().as_deref(), Some("idempotency_key_conflict"));
/// # }
/// ```
#[must_use = "it is not sent yet"]
pub struct Request<S> {
    host: Arc<Host<S>>,
    parts: Parts,
    body: Bytes,
}

impl<S> Clone for Request<S> {
    fn clone(&self) -> Self {
        Self { host: Arc::clone(&self.host), parts: self.parts.clone(), body: self.body.clone() }
    }
}

impl<S: TestStore> Request<S> {
    #[track_caller]
    pub(super) fn new(host: &Arc<Host<S>>, method: Method, path: &str) -> Self {
        let uri = path.starts_with('/').then(|| path.parse::<Uri>().ok()).flatten();
        let uri = uri.unwrap_or_else(|| panic!("{path:?} is no path, which begins with `/` and may have a query"));
        let (mut parts, ()) = http::Request::new(()).into_parts();
        (parts.method, parts.uri) = (method, uri);
        parts.headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        parts.extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 49152))));
        Self { host: Arc::clone(host), parts, body: Bytes::new() }
    }

    /// Has this `Idempotency-Key`.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let answer = service.post("/payments").key("k1").send().await;
    /// assert_eq!(answer.status(), 200);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it cannot stand in a header.
    #[track_caller]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Has this header, instead of one of the same name.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let payment = service.post("/payments").key("k1").body("5");
    /// payment.clone().header("authorization", "Bearer alice").send().await;
    /// assert!(!payment.header("authorization", "Bearer bob").send().await.is_replay());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no header's name, or the value cannot stand in one.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(header), Ok(content)) = parsed else { panic!("`{name}: {value:?}` is no header") };
        self.parts.headers.insert(header, content);
        self
    }

    /// Has this among its extensions, as a layer around the router would put it there: `ConnectInfo` of another
    /// address, a user who has logged in.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// use std::net::SocketAddr;
    /// use axum::extract::ConnectInfo;
    ///
    /// let payment = service.post("/payments").key("k1");
    /// payment.send().await;
    /// let elsewhere = ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4000)));
    /// assert!(!payment.extension(elsewhere).send().await.is_replay(), "without a token, the address is the caller");
    /// # }
    /// ```
    pub fn extension(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.parts.extensions.insert(extension);
        self
    }

    /// Has this body.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let answer = service.post("/payments").key("k1").body("5").send().await;
    /// assert_eq!(answer.text(), "paid 5");
    /// # }
    /// ```
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Has this as its body, as `application/json`.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let answer = service.post("/payments").key("k1").json("EUR").send().await;
    /// assert_eq!(answer.text(), "paid \"EUR\"");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it cannot be JSON: a map with keys that are no text.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        let text = serde_json::to_vec(body).unwrap_or_else(|error| panic!("the body cannot be JSON: {error}"));
        self.header("content-type", "application/json").body(text)
    }

    /// Sends it, and reads the answer to its end. A future that is dropped is a client that hangs up.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let payment = service.post("/payments").key("k1").body("5");
    /// assert!(!payment.send().await.is_replay());
    /// assert!(payment.send().await.is_replay());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the process dies before it answers, or the connection is cut because something panicked around the guarded
    /// handler.
    pub async fn send(&self) -> Answer {
        let sent = self.host.send(self.to_request()).await;
        sent.unwrap_or_else(|Died| panic!("{self:?} was not answered: the process died (`crash()` expects that)"))
    }

    /// Sends it, and sends it once more: the second answer is a replay of the first, byte for byte.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let [first, again] = service.post("/payments").key("k1").body("5").twice().await;
    /// assert_eq!((first.text(), again.is_replay()), ("paid 5", true));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not, or the first one is a replay itself.
    pub async fn twice(&self) -> [Answer; 2] {
        let first = self.send().await;
        assert!(!first.is_replay(), "{self:?} was sent before, and is answered from its record: {first:?}");
        let again = self.send().await;
        assert!(again.is_replay(), "the retry of {self:?} is no replay: first {first:?}, then {again:?}");
        let are_equal = (first.status(), first.body()) == (again.status(), again.body());
        assert!(are_equal, "the replay of {self:?} is another answer: first {first:?}, then {again:?}");
        [first, again]
    }

    /// Sends it so many times at once: exactly one runs the handler. Any other answer is its replay, or 409 where the
    /// handler does not `wait`.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let answers = service.post("/payments").key("k1").body("5").at_once(3).await;
    /// assert_eq!(answers.len(), 3);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When none or several have run, a replay differs, or the process dies.
    pub async fn at_once(&self, times: usize) -> Vec<Answer> {
        let sent = self.host.send_all((0..times).map(|_| self.to_request()).collect()).await;
        let answers: Vec<Answer> =
            sent.into_iter().map(|sent| sent.unwrap_or_else(|Died| panic!("{self:?}: the process died"))).collect();
        let is_in_flight = |answer: &&Answer| answer.problem_code().as_deref() == Some("idempotency_request_in_flight");
        let ran: Vec<_> = answers.iter().filter(|answer| !answer.is_replay() && !is_in_flight(answer)).collect();
        let [first] = ran[..] else { panic!("{self:?} was answered by {} runs of the handler: {ran:?}", ran.len()) };
        for replay in answers.iter().filter(|answer| answer.is_replay()) {
            let are_equal = (first.status(), first.body()) == (replay.status(), replay.body());
            assert!(are_equal, "a replay of {self:?} is another answer: {first:?}, {replay:?}");
        }
        answers
    }

    /// Sends it, and its process dies of it, at a [`Crash`](super::Crash): there is no answer. The next request is the
    /// next process's.
    ///
    /// ```
    /// # use axum::{Extension, Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent};
    /// use cratestack_runtime::testing::{Crash, Service};
    ///
    /// #[idempotent]
    /// async fn pay(Extension(crash): Extension<Crash>) {
    ///     crash.here().await;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let crash = Crash::once();
    /// let service = Service::new(MemoryStore::new(), move |idempotency| {
    ///     Router::new().route("/payments", post(pay)).layer(Extension(crash.clone())).with_state(idempotency)
    /// });
    /// service.post("/payments").key("k1").crash().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is answered.
    pub async fn crash(&self) {
        if let Ok(answer) = self.host.send(self.to_request()).await {
            panic!("{self:?} was answered, and did not come to a `Crash::here` that was not passed before: {answer:?}");
        }
    }

    /// Sends it, and its process dies when the handler has ended: its effect has happened, and nothing of its outcome
    /// has reached the store. In a transaction, that is before the commit.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing::Service};
    /// # #[idempotent]
    /// # async fn pay(amount: String) -> String { format!("paid {amount}") }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let payment = service.post("/payments").key("k1").body("5");
    /// payment.crash_before_recording().await;
    /// service.lease_is_over().await;
    /// assert!(!payment.send().await.is_replay(), "it has run again");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is answered, because no guarded handler came to its end: it was refused or replayed, or the router does
    /// not use the `Idempotency` that it is given.
    pub async fn crash_before_recording(&self) {
        self.host.arm(true).await;
        if let Ok(answer) = self.host.send(self.to_request()).await {
            self.host.arm(false).await;
            panic!(
                "{self:?} was answered, and no run of a guarded handler came to its end: it was refused, or replayed, or the \
                 router is not built on the `Idempotency` that it is given: {answer:?}"
            );
        }
    }

    fn to_request(&self) -> http::Request<Bytes> {
        let mut parts = self.parts.clone();
        if !self.body.is_empty() {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        http::Request::from_parts(parts, self.body.clone())
    }
}

impl<S> fmt::Debug for Request<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.parts.method, self.parts.uri)
    }
}
