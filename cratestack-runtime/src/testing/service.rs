use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Method;

use super::host::{Build, Host};
use super::request::Request;
use super::test_store::TestStore;
use crate::handle::Idempotency;
use crate::http::CrashPoint;
use crate::store::TransactionalStore;

/// One's own service in a test: its router without a socket, in a process that can crash.
///
/// What the function that builds the router makes is the process's own, and ends with it: the router, its state, the
/// `Idempotency` that it is given, with what that keeps in memory. What the function has from outside is the world
/// around: the store's rows, a fake of a payment provider, a database. A process is started by the first request, and
/// the next one by the first request after it has ended. It is a runtime of tokio's on a thread of its own, which is
/// shut down where it crashes: whatever it was doing stops where it waits, and no outcome, renewal or release of its
/// reaches the store any more. Its clock is the real one, also where the test's own is paused. As that runtime has one
/// thread, `tokio::task::block_in_place` panics in it.
///
/// Requests come from `127.0.0.1`, as the router's `ConnectInfo<SocketAddr>` tells.
///
/// ```
/// use axum::{Router, routing::post};
/// use cratestack_runtime::{Idempotency, MemoryStore, idempotent, testing};
///
/// #[idempotent]
/// async fn pay(amount: String) -> String {
///     format!("paid {amount}")
/// }
///
/// fn app(idempotency: Idempotency) -> Router {
///     Router::new().route("/payments", post(pay)).with_state(idempotency)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let service = testing::Service::new(MemoryStore::new(), app);
/// let [first, _] = service.post("/payments").key("k1").body("5").twice().await;
/// assert_eq!(first.text(), "paid 5");
/// # }
/// ```
///
/// It is for tests: where a test has gone wrong, its methods panic, and say how.
pub struct Service<S> {
    host: Arc<Host<S>>,
}

impl<S: TestStore> Service<S> {
    /// A service whose router is built on an [`Idempotency`] over this store. What else the handle is to have is for
    /// the function to say: `|idempotency| app(idempotency.lease(…))`.
    ///
    /// ```
    /// use axum::Router;
    /// use cratestack_runtime::{MemoryStore, testing};
    ///
    /// let service = testing::Service::new(MemoryStore::new(), |idempotency| Router::new().with_state(idempotency));
    /// # let _ = service;
    /// ```
    pub fn new(store: S, router: impl Fn(Idempotency) -> Router + Send + Sync + 'static) -> Self {
        Self::of(store, move |store, point| {
            let handle = Idempotency::new(store).with_crash_point(point);
            (router(handle.clone()), handle)
        })
    }

    /// The same, for a router with handlers that have `transaction`.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # fn service(pool: sqlx::SqlitePool) {
    /// use axum::{Router, http::StatusCode, routing::post};
    /// use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent, testing};
    /// use sqlx::Sqlite;
    ///
    /// #[idempotent(transaction)]
    /// async fn pay(mut tx: Tx<Sqlite>, amount: String) -> Result<(), (StatusCode, &'static str)> {
    ///     let payment = sqlx::query("INSERT INTO payments VALUES ($1)").bind(amount);
    ///     payment.execute(&mut *tx).await.map(drop).map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "not paid"))
    /// }
    ///
    /// fn app(idempotency: Idempotency<SqliteStore>) -> Router {
    ///     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// }
    ///
    /// let service = testing::Service::transactional(SqliteStore::new(pool), app);
    /// # }
    /// ```
    pub fn transactional(store: S, router: impl Fn(Idempotency<S>) -> Router + Send + Sync + 'static) -> Self
    where
        S: TransactionalStore,
    {
        Self::of(store, move |store, point| {
            let handle = Idempotency::transactional(store).with_crash_point(point);
            (router(handle.clone()), handle.into())
        })
    }

    fn of(store: S, build: impl Fn(S, CrashPoint) -> (Router, Idempotency) + Send + Sync + 'static) -> Self {
        let build: Arc<Build<S>> = Arc::new(build);
        Self { host: Arc::new(Host::new(store, build)) }
    }

    /// A request with any method. The path may have a query.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing};
    /// # let service = testing::Service::new(MemoryStore::new(), |handle| axum::Router::new().with_state(handle));
    /// let request = service.request(axum::http::Method::DELETE, "/payments/17?force=1").key("k1");
    /// # let _ = request;
    /// ```
    ///
    /// # Panics
    ///
    /// When it is no path: it begins with `/`.
    #[track_caller]
    pub fn request(&self, method: Method, path: &str) -> Request<S> {
        Request::new(&self.host, method, path)
    }

    /// A `GET`, as [`request`](Self::request) makes it.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing};
    /// # fn main() {
    /// # let service = testing::Service::new(MemoryStore::new(), |handle| axum::Router::new().with_state(handle));
    /// let _ = service.get("/payments?year=2026");
    /// # }
    /// ```
    #[track_caller]
    pub fn get(&self, path: &str) -> Request<S> {
        self.request(Method::GET, path)
    }

    /// A `POST`, as [`request`](Self::request) makes it.
    ///
    /// ```
    /// # use cratestack_runtime::{MemoryStore, testing};
    /// # fn main() {
    /// # let service = testing::Service::new(MemoryStore::new(), |handle| axum::Router::new().with_state(handle));
    /// let _ = service.post("/payments").key("k1");
    /// # }
    /// ```
    #[track_caller]
    pub fn post(&self, path: &str) -> Request<S> {
        self.request(Method::POST, path)
    }

    /// Ends the process as a crash would; the next request is the next one's. What was told before comes from the
    /// store then, and not from memory.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing};
    /// # #[idempotent]
    /// # async fn pay() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = testing::Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// service.post("/payments").key("k1").send().await;
    /// service.restart().await;
    /// assert!(service.post("/payments").key("k1").send().await.is_replay());
    /// # }
    /// ```
    pub async fn restart(&self) {
        self.host.end().await;
    }

    /// Lets time pass in the store until the lease of every run without an outcome has ended. What a crash has left
    /// can be taken over then.
    ///
    /// A run that is alive has stalled, in the eyes of the store, for longer than its lease.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing};
    /// # #[idempotent]
    /// # async fn pay() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = testing::Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let payment = service.post("/payments").key("k1");
    /// payment.crash_before_recording().await;
    /// assert_eq!(payment.send().await.status(), 409, "it may still be running, for all that is known");
    /// service.lease_is_over().await;
    /// assert_eq!(payment.send().await.status(), 200);
    /// # }
    /// ```
    pub async fn lease_is_over(&self) {
        self.host.end_leases().await;
    }

    /// Lets so much time pass in the store: leases end, and outcomes expire. Nothing else notices: not the handlers,
    /// not tokio's clock.
    ///
    /// It is for times at which no request is under way.
    ///
    /// ```
    /// # use axum::{Router, routing::post};
    /// # use cratestack_runtime::{MemoryStore, idempotent, testing};
    /// # #[idempotent]
    /// # async fn pay() {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let service = testing::Service::new(MemoryStore::new(), |idempotency| {
    /// #     Router::new().route("/payments", post(pay)).with_state(idempotency)
    /// # });
    /// let payment = service.post("/payments").key("k1");
    /// payment.send().await;
    /// service.advance(std::time::Duration::from_secs(25 * 60 * 60)).await;
    /// assert!(!payment.send().await.is_replay(), "the ttl is over: it is a new request");
    /// # }
    /// ```
    pub async fn advance(&self, by: Duration) {
        self.host.advance(by).await;
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
