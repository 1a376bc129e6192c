use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::problem::valid_documentation;
use super::request::verified_caller;
use crate::engine::Engine;
use crate::store::{IdempotencyStore, MAX_BODY_BYTES};

type Identify = dyn Fn(&Parts) -> Option<String> + Send + Sync;

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
#[derive(Clone)]
pub struct Idempotency {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) max_request_bytes: Option<usize>,
    pub(crate) max_response_bytes: usize,
    pub(crate) identify: Arc<Identify>,
    pub(crate) documentation: Option<Arc<str>>,
}

/// A shorter lease would be renewed more often than a store can answer.
const SHORTEST_LEASE: Duration = Duration::from_millis(30);

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
        Self {
            engine: Arc::new(Engine::new(Arc::new(store))),
            settings: Arc::new(Settings {
                ttl: Duration::from_secs(24 * 60 * 60),
                lease: Duration::from_secs(30),
                store_timeout: Duration::from_secs(10),
                max_request_bytes: None,
                max_response_bytes: MAX_BODY_BYTES,
                identify: Arc::new(verified_caller),
                documentation: None,
            }),
        }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// How long an outcome is kept, from the moment that its key is reserved. Default: 24 hours. The attribute's
    /// `ttl = "…"` overrides it.
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
    /// process dies, the key is free again once the lease has ended. A process that stalls for longer than the lease
    /// loses it, and a retry then runs beside it: make the lease longer than any stall you are ready to believe in.
    /// A lease is at least 30 ms and at most the `ttl`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).lease(std::time::Duration::from_secs(10));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        self.set(|settings| settings.lease = lease.max(SHORTEST_LEASE))
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
    /// A bound set here replaces axum's for guarded handlers, so that the two always agree.
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
    /// Keys of different callers never meet. The answer is stored as it is, so hash what must not be readable in the
    /// table; `None` refuses the request with a 500, because a caller that nobody knows must not share another's keys.
    /// Use what was verified (a session, a client certificate), never a header that a client can choose freely.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// #[derive(Clone)]
    /// struct Tenant(u64); // put into the extensions by an authentication layer
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .identify(|request| request.extensions.get::<Tenant>().map(|tenant| format!("tenant:{}", tenant.0)));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn identify(self, caller: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.identify = Arc::new(caller))
    }

    /// Where this service documents its use of idempotency keys. Problem responses then link to it
    /// (`rel="describedby"`), and their `type` is the address with the problem's code as its fragment.
    ///
    /// An address that cannot stand in a `Link` header is ignored, with a warning in the log.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).documentation("https://docs.example.com/idempotency");
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn documentation(self, address: impl AsRef<str>) -> Self {
        let address = address.as_ref();
        if !valid_documentation(address) {
            tracing::warn!("the idempotency documentation address is not a URI that a Link header can carry; ignored");
            return self;
        }
        self.set(|settings| settings.documentation = Some(Arc::from(address)))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl std::fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency")
            .field("ttl", &self.settings.ttl)
            .field("lease", &self.settings.lease)
            .finish_non_exhaustive()
    }
}
