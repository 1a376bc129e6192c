use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::event::Event;
use crate::engine::{Engine, Sweeper, sweep};
use crate::http::identity::principal::Identify;
use crate::http::{OmittedHeaders, valid_documentation};
use crate::store::{IdempotencyStore, MAX_BODY_BYTES, StoreError, TransactionalStore};

/// The handle on a store that `#[idempotent]` handlers find in the router's state, with the defaults that apply where
/// the attribute says nothing.
///
/// Cheap to clone: all clones share one store and one set of running requests. It is reached through
/// [`FromRef`](axum::extract::FromRef), so it is a field of the state (or the state itself).
///
/// ```
/// use std::time::Duration;
///
/// use axum::extract::FromRef;
/// use axum::{Router, routing::post};
/// use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
///
/// #[derive(Clone)]
/// struct App {
///     idempotency: Idempotency,
/// }
///
/// // `#[derive(FromRef)]` writes this where axum's feature `macros` is on.
/// impl FromRef<App> for Idempotency {
///     fn from_ref(app: &App) -> Self {
///         app.idempotency.clone()
///     }
/// }
///
/// #[idempotent]
/// async fn create_payment(body: String) -> String {
///     format!("paid: {body}")
/// }
///
/// let idempotency = Idempotency::new(MemoryStore::new()).ttl(Duration::from_secs(3600));
/// let app: Router = Router::new().route("/payments", post(create_payment)).with_state(App { idempotency });
/// ```
///
/// # Transactions
///
/// `Idempotency<PostgresStore>` and `Idempotency<SqliteStore>`, made by [`transactional`](Self::transactional), are handles
/// that `#[idempotent(transaction)]` works with; the plain `Idempotency` has forgotten which store it is over. One becomes
/// the other with `Idempotency::from`, and the two then share everything.
pub struct Idempotency<S: ?Sized = dyn IdempotencyStore> {
    engine: Arc<Engine>,
    store: Arc<S>,
    settings: Arc<Settings>,
}

impl<S: ?Sized> Clone for Idempotency<S> {
    fn clone(&self) -> Self {
        let Self { engine, store, settings } = self;
        Self { engine: Arc::clone(engine), store: Arc::clone(store), settings: Arc::clone(settings) }
    }
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) max_request_bytes: Option<usize>,
    pub(crate) max_response_bytes: usize,
    pub(crate) principal: Option<Arc<Identify>>,
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) documentation: Option<Arc<str>>,
    pub(crate) on_store_error: OnStoreError,
    pub(crate) omitted_headers: OmittedHeaders,
    on_event: Option<Arc<Hook>>,
}

type Hook = dyn Fn(&Event<'_>) + Send + Sync;

/// What happens to a request whose key the store cannot reserve.
///
/// ```
/// use cratestack_runtime::OnStoreError;
///
/// assert_eq!(OnStoreError::default(), OnStoreError::Refuse);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStoreError {
    /// It is answered 503 and does not run.
    #[default]
    Refuse,
    /// It runs without protection: a retry runs it again, and two at once both run. For handlers that are better run
    /// twice than not at all.
    Run,
}

/// A shorter lease would be renewed more often than a store can answer.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_millis(30);

impl Idempotency {
    /// A handle on `store` with the defaults: outcomes are kept for 24 hours, a lease lasts 30 seconds, bodies are
    /// bounded by [`MAX_BODY_BYTES`], a caller is its `Authorization` header or else its IP address.
    ///
    /// ```
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn new(store: impl IdempotencyStore) -> Self {
        let store: Arc<dyn IdempotencyStore> = Arc::new(store);
        Self { engine: Arc::new(Engine::new(Arc::clone(&store))), store, settings: Arc::default() }
    }
}

impl<S: TransactionalStore> Idempotency<S> {
    /// A handle on `store` whose handlers may write in the transaction that records their outcome
    /// (`#[idempotent(transaction)]`). The defaults are those of [`new`](Idempotency::new).
    ///
    /// ```
    /// use axum::extract::FromRef;
    /// use cratestack_runtime::{Idempotency, PostgresStore};
    ///
    /// #[derive(Clone)]
    /// struct App {
    ///     idempotency: Idempotency<PostgresStore>,
    /// }
    ///
    /// // For handlers with `transaction`. `#[derive(FromRef)]` writes it where axum's feature `macros` is on.
    /// impl FromRef<App> for Idempotency<PostgresStore> {
    ///     fn from_ref(app: &App) -> Self {
    ///         app.idempotency.clone()
    ///     }
    /// }
    ///
    /// // For handlers without, if the router has some.
    /// impl FromRef<App> for Idempotency {
    ///     fn from_ref(app: &App) -> Self {
    ///         app.idempotency.clone().into()
    ///     }
    /// }
    ///
    /// # fn state(pool: sqlx::PgPool) -> App {
    /// App { idempotency: Idempotency::transactional(PostgresStore::new(pool)) }
    /// # }
    /// ```
    #[must_use]
    pub fn transactional(store: S) -> Self {
        let store = Arc::new(store);
        let engine = Arc::new(Engine::new(Arc::clone(&store) as Arc<dyn IdempotencyStore>));
        Self { engine, store, settings: Arc::default() }
    }

    pub(crate) fn store(&self) -> &Arc<S> {
        &self.store
    }
}

impl<S: TransactionalStore> From<Idempotency<S>> for Idempotency {
    fn from(handle: Idempotency<S>) -> Self {
        let Idempotency { engine, store, settings } = handle;
        Self { engine, store, settings }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(30),
            store_timeout: Duration::from_secs(10),
            max_request_bytes: None,
            max_response_bytes: MAX_BODY_BYTES,
            principal: None,
            namespace: None,
            documentation: None,
            on_store_error: OnStoreError::Refuse,
            omitted_headers: OmittedHeaders::default(),
            on_event: None,
        }
    }
}

impl<S: ?Sized> Idempotency<S> {
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// How long an outcome is kept, from the moment that its key is reserved, or its transaction begins. Default: 24 hours.
    /// The attribute's `ttl = "…"` overrides it.
    ///
    /// A retry that comes later is a new request and runs again.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let week = std::time::Duration::from_secs(7 * 24 * 60 * 60);
    /// let idempotency = Idempotency::new(MemoryStore::new()).ttl(week);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set(|settings| settings.ttl = ttl)
    }

    /// How long a reservation outlives its process. Default: 30 seconds. The attribute's `lease = "…"` overrides it.
    ///
    /// While the handler runs its lease is renewed, three times per lease, so a handler may take any time. When the
    /// process dies, the same request may run again once the lease has ended; another one under the key is refused until the
    /// [`ttl`](Self::ttl) ends. A process that stalls for longer than the lease loses it, and a retry then runs beside it. The
    /// same happens where an outcome or a renewal waits for the store for longer than the lease. Make the lease longer than any
    /// stall or outage that you are ready to believe in.
    /// A lease is at least 30 ms and at most the `ttl`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).lease(std::time::Duration::from_secs(10));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set(|settings| settings.lease = lease)
    }

    /// How long a request waits for the store to reserve its key, before it is answered 503 and does not run. Default:
    /// 10 seconds.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).store_timeout(std::time::Duration::from_secs(2));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn store_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.store_timeout = timeout)
    }

    /// The bound on a guarded request's body, in bytes; a larger one is answered 413 and reserves nothing.
    ///
    /// Default: what axum's [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) says for the route, which is 2 MiB
    /// unless it was set; where it was disabled, [`MAX_BODY_BYTES`], because a body must be read whole to be compared.
    /// A bound set here replaces axum's for guarded handlers, so that the two always agree. Who may not call is told that
    /// first: nothing of a body is read before the extractors that need none of it have run.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_request_bytes(64 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_request_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_request_bytes = Some(bytes))
    }

    /// The bound on a recorded response's body, in bytes. Default: [`MAX_BODY_BYTES`].
    ///
    /// A larger response goes out unharmed but is not recorded: a retry does not run the handler again, it is answered
    /// 409 with the code `idempotency_response_not_replayable`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_response_bytes(256 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_response_bytes(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_response_bytes = bytes)
    }

    /// Who the caller of a request is, instead of its `Authorization` header or IP address.
    ///
    /// Keys of different callers never meet. Use what was verified (a session, a client certificate), never a header that a
    /// client can choose freely. `None`, or an empty name, refuses a request that has a key with a 500, because a caller that
    /// nobody knows must not share another's keys. `principal = …` of a handler replaces the answer.
    ///
    /// The name is stored as it is, so hash what must not be readable in the table. Three kinds of names are stored as digests:
    /// those of more than 255 bytes or with a NUL; those that could be taken for another caller's digest, which are exactly 64
    /// lower-case hexadecimal digits; and those with a `→`. A hash that is to be found in the table again bears a
    /// prefix, such as `user:`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// #[derive(Clone)]
    /// struct Tenant(u64); // put into the extensions by an authentication layer
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .principal(|request| request.extensions.get::<Tenant>().map(|tenant| format!("tenant:{}", tenant.0)));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn principal(self, caller: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.principal = Some(Arc::new(caller)))
    }

    /// Where this service documents its use of idempotency keys. Problem responses then link to it
    /// (`rel="describedby"`), and their `type` is the address with the problem's code as its fragment.
    ///
    /// An address that cannot stand in a `Link` header is ignored, with a warning in the log.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).documentation_url("https://docs.example.com/idempotency");
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn documentation_url(self, address: impl AsRef<str>) -> Self {
        let address = address.as_ref();
        if !valid_documentation(address) {
            tracing::warn!("the idempotency documentation address is not a URI that a Link header can carry; ignored");
            return self;
        }
        self.set(|settings| settings.documentation = Some(Arc::from(address)))
    }

    /// What happens to a request whose key the store cannot reserve. Default: it is refused. The attribute's
    /// `on_store_error = run` says it for one handler.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore, OnStoreError};
    /// let idempotency = Idempotency::new(MemoryStore::new()).on_store_error(OnStoreError::Run);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn on_store_error(self, choice: OnStoreError) -> Self {
        self.set(|settings| settings.on_store_error = choice)
    }

    /// Calls `hook` with everything that happens to guarded requests, for metrics. The same events go to `tracing`, at
    /// the level `debug` where nothing is wrong.
    ///
    /// The hook is called in the path of the request, so it must be quick. A panic in it is caught and dropped.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .on_event(|event| println!("{} {}", event.kind.as_str(), event.key));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn on_event(self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.on_event = Some(Arc::new(hook)))
    }

    /// How many bytes of outcomes this process keeps in memory, so that a retry of a request whose outcome it has seen asks
    /// no store. Default: 8 MiB; 0 keeps none.
    ///
    /// A recorded outcome does not change until it expires, and is not kept longer than that, by the store's clock (a
    /// store that shows none, such as [`MemoryStore`](crate::MemoryStore), has nothing kept of it). Nor is it kept longer
    /// than the session of the store that it was recorded in: a server that crashes, or is replaced by its standby, may have
    /// lost it. A session counts for a second; while outcomes are replayed from memory it is looked at about once a second,
    /// on Postgres by one small statement over a connection of this process' own, which is opened with the first guarded
    /// request (not with 0). Within that second, an outcome that the server has lost may still be replayed; after it, never.
    /// Retries that are further apart ask the store. Behind a pooler in transaction mode nothing is kept.
    ///
    /// The kept outcomes are all clones'. Whoever deletes a row by hand, so that its request may run again, has every process
    /// [`forget`](Self::forget) it, or sets this to 0. An outcome of more than a sixteenth of this is not kept.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).replay_cache_bytes(64 * 1024 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn replay_cache_bytes(self, bytes: u64) -> Self {
        self.engine.replay_cache().bound(bytes);
        self
    }

    /// How many guarded handlers of this process run at once. Default: 10,000.
    ///
    /// A handler goes on when its client hangs up, so a limit on connections, or a layer that counts responses, does not bound
    /// how many run; this does. One request more is answered 503 (`idempotency_overloaded`, with `Retry-After`) before
    /// anything is reserved. As many duplicates may wait (`wait = "…"`); one more is answered 409 at once. All clones share the
    /// bound. A replay that only the store can tell needs a place as well, for as long as the store takes.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_running(500);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_running(self, handlers: usize) -> Self {
        self.engine.set_max_running(handlers);
        self
    }

    /// How many bytes of outcomes this process holds that are in the making, or wait to be written because the store cannot
    /// take them. Default: 256 MiB.
    ///
    /// Each run takes 16 KiB before its key is reserved, and its outcome's size once that is known. Where there is no room,
    /// a request is answered 503 (`idempotency_overloaded`, with `Retry-After`) before anything is reserved. An outcome is never
    /// dropped for its size: what runs already may go beyond the bound, by at most
    /// [`max_response_bytes`](Self::max_response_bytes) each. All clones share it.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_pending_bytes(64 * 1024 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_pending_bytes(self, bytes: u64) -> Self {
        self.engine.set_max_pending_bytes(bytes);
        self
    }

    /// Lets this process ask the store again for the outcome of a key. It does not touch the store.
    ///
    /// Principal and key are as the table has them.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// idempotency.forget("622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1", "8e03978e");
    /// ```
    pub fn forget(&self, principal: &str, key: &str) {
        self.engine.replay_cache().forget(principal, key);
    }

    /// Lets what is running finish and record, for at most `deadline`, and says how many requests were still unfinished
    /// then: with 0, every outcome is recorded.
    ///
    /// Call it after axum's graceful shutdown: that waits for connections, this for the handlers whose clients have hung
    /// up and for outcomes that the store has not taken yet. What is cut off by the end of the process leaves its key
    /// reserved until the lease ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # async fn serve(app: axum::Router, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// let told_to_stop = async { drop(tokio::signal::ctrl_c().await) };
    /// axum::serve(listener, app).with_graceful_shutdown(told_to_stop).await?;
    /// let unfinished = idempotency.shutdown(Duration::from_secs(30)).await;
    /// if unfinished > 0 {
    ///     eprintln!("{unfinished} requests were cut off");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self, deadline: Duration) -> usize {
        self.engine.drained(deadline).await
    }

    /// Deletes the records that have expired, in batches, and says how many.
    ///
    /// An expired record is never replayed, swept or not: this only frees its space. It rests after each batch of 250,
    /// seven times as long as that took, so that others find the database free. Processes of a fleet that sweep a
    /// Postgres table at the same time share the rows: none waits for another.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let swept = Idempotency::new(MemoryStore::new()).sweep().await?;
    /// assert_eq!(swept, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached. What was deleted until then stays deleted.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        sweep(&**self.engine.store()).await
    }

    /// Sweeps in the background, once every `interval`, until the [`Sweeper`] is stopped or dropped.
    ///
    /// It must be called within a tokio runtime.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sweeper = Idempotency::new(MemoryStore::new()).sweep_every(std::time::Duration::from_secs(300));
    /// # drop(sweeper);
    /// # }
    /// ```
    pub fn sweep_every(&self, interval: Duration) -> Sweeper {
        Sweeper::start(Arc::clone(self.engine.store()), interval)
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        event.log();
        if let Some(hook) = &self.settings.on_event {
            // A hook that fails must not take the request's outcome along.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(event)));
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl<S: ?Sized> std::fmt::Debug for Idempotency<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency")
            .field("ttl", &self.settings.ttl)
            .field("lease", &self.settings.lease)
            .finish_non_exhaustive()
    }
}
