use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tower_layer::Layer;

use super::service::IdempotencyService;
use super::terms::Terms;
use crate::handle::{Idempotency, KeyPart, OnStoreError, Recorded};
use crate::http::identity::key_of;

/// Guards every service that it is put around, as `#[idempotent]` guards a handler: the first request with an
/// `Idempotency-Key` runs the service, and every later one gets its recorded outcome.
///
/// It is for services that are not annotated, so it says less than the attribute where it knows less:
///
/// - A request without a key passes unguarded, unless [`require_key`](Self::require_key) says otherwise. So do safe
///   methods (`GET`, `HEAD`, `OPTIONS`, `TRACE`), and what [`only`](Self::only) leaves out.
/// - Successes and redirects alone are recorded, and any other response gives its key back: what lies below may answer
///   401, 422 or 429 before anything has happened, and such an answer is not for a retry.
///   [`record_all`](Self::record_all) and [`record_all_but_5xx`](Self::record_all_but_5xx) record more.
///
/// **It stands before all extractors.** A replay is answered before anything below it is asked: whoever sends the same
/// key and request and is the same caller to this layer gets the outcome, also where the service would have refused
/// him meanwhile. So mount it inside authentication, where that is a layer, and say by [`principal`](Self::principal)
/// whom it has found; by default a caller is its `Authorization` header, or else its address.
///
/// The body of a request with a key is read whole, and hashed, before the service is called; what is over
/// [`body_limit`](Self::body_limit) is answered 413. The service then runs on a task of its own, so a client that hangs
/// up changes nothing. An error of the service, which is no response, gives its key back and is passed on.
///
/// What runs below it may take a [`Reservation`](crate::Reservation), and have steps. Where it meets a handler with the
/// attribute, the layer guards it, and the attribute's `record` counts; the page `docs/layer.md` of the repository says
/// more of the two together.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, routing::post};
/// use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
///
/// /// What an authentication layer leaves in the request's extensions.
/// #[derive(Clone)]
/// struct User {
///     id: u64,
/// }
///
/// let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()))
///     .principal(|request| request.extensions.get::<User>().map(|user| user.id))
///     .only(|request| request.uri.path().starts_with("/payments"))
///     .wait(Duration::from_secs(10));
/// let app: Router = Router::new().route("/payments", post(|| async { "paid" })).layer(layer);
/// ```
#[derive(Clone)]
pub struct IdempotencyLayer {
    terms: Terms,
}

impl IdempotencyLayer {
    /// A layer over the handle's store, with the handle's settings where the layer has none of its own.
    ///
    /// Handlers with the attribute below it are to have a clone of the same handle.
    ///
    /// ```
    /// use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    ///
    /// let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn new(idempotency: impl Into<Idempotency>) -> Self {
        Self { terms: Terms::over(idempotency.into()) }
    }

    /// How long an outcome is kept. Default: what the handle says ([`Idempotency::ttl`]), which is 24 hours.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.ttl(std::time::Duration::from_secs(3600));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.terms.options.ttl = Some(ttl);
        self
    }

    /// How long a reservation outlives its process. Default: what the handle says ([`Idempotency::lease`]), which is 30
    /// seconds. It is at least 30 ms and at most the `ttl`, and renewed while the service runs.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.lease(std::time::Duration::from_secs(10));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.terms.options.lease = Some(lease);
        self
    }

    /// How long a duplicate waits for the outcome of the request that runs, before it is answered 409. Default: it does
    /// not wait.
    ///
    /// A request that waits has what the service's `poll_ready` has given it, such as a place among those that a
    /// concurrency limit below admits.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.wait(std::time::Duration::from_secs(10));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.terms.options.wait = Some(wait);
        self
    }

    /// Answers a request without a key with 400, instead of passing it on unguarded. What [`only`](Self::only) leaves
    /// out, and safe methods, need none.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.require_key().only(|request| request.uri.path() == "/payments");
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn require_key(mut self) -> Self {
        self.terms.options.optional = false;
        self
    }

    /// Records every response, whatever its status, as the attribute does.
    ///
    /// For services that have had their effect by the time that they answer an error. An answer that was given before,
    /// such as a 401 or a 429, is then replayed until the `ttl` ends, unless it bears
    /// [`Unrecorded`](crate::Unrecorded).
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.record_all();
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn record_all(mut self) -> Self {
        self.terms.options.recorded = Recorded::All;
        self
    }

    /// Records every response but those of 500 and more, which give their key back.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.record_all_but_5xx();
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn record_all_but_5xx(mut self) -> Self {
        self.terms.options.recorded = Recorded::AllBut5xx;
        self
    }

    /// What happens to a request whose key the store cannot reserve. Default: what the handle says
    /// ([`Idempotency::on_store_error`]), which is to refuse it (503).
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore, OnStoreError};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.on_store_error(OnStoreError::Run);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn on_store_error(mut self, choice: OnStoreError) -> Self {
        self.terms.options.run_on_store_error = Some(choice == OnStoreError::Run);
        self
    }

    /// The most bytes that the body of a request with a key may have; a larger one is answered 413 and does not reach
    /// the service. Default: what the handle says ([`Idempotency::max_request_bytes`]), else axum's
    /// [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) where that is set outside of this layer, else 2 MiB.
    ///
    /// Each such request is held in memory up to this size while it is read. The services below keep the limits that
    /// they have.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.body_limit(64 * 1024);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.terms.body_limit = Some(bytes);
        self
    }

    /// Which requests are guarded. The others pass, key or not. Default: all whose method is not safe.
    ///
    /// On a nested router the URI has lost its prefix; the whole one is axum's
    /// [`OriginalUri`](axum::extract::OriginalUri), among the extensions.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// let layer = layer.only(|request| request.uri.path().starts_with("/payments"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn only(mut self, is_guarded: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.terms.only = Some(Arc::new(is_guarded));
        self
    }

    /// What a request's key is, instead of its `Idempotency-Key` header. `None`, and what is empty, is a missing key.
    ///
    /// It is the key that the attribute makes of the same value by `key = …`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// // A webhook's deliveries bear an identifier of the sender's.
    /// let layer = layer.key(|request| {
    ///     let delivery = request.headers.get("x-delivery-id")?;
    ///     delivery.to_str().ok().map(str::to_owned)
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn key<P: KeyPart>(mut self, key: impl Fn(&Parts) -> Option<P> + Send + Sync + 'static) -> Self {
        self.terms.key = Some(Arc::new(move |parts| key_of(&key(parts)?)));
        self
    }

    /// Who the caller is, instead of the `Authorization` header, the address, or what [`Idempotency::principal`] says.
    /// Use what was verified outside of this layer, never a header that a client can choose freely. `None`, and
    /// what is empty, names nobody: the request is answered 500, and the log says why.
    ///
    /// It is the caller that the attribute makes of the same value by `principal = …`, and
    /// [`Principal::part`](crate::records::Principal::part) for an operator.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// #[derive(Clone)]
    /// struct Tenant(u64); // put into the extensions by an authentication layer
    ///
    /// let layer = layer.principal(|request| request.extensions.get::<Tenant>().map(|tenant| tenant.0));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn principal<P: KeyPart>(mut self, caller: impl Fn(&Parts) -> Option<P> + Send + Sync + 'static) -> Self {
        self.terms.principal = Some(Arc::new(move |parts, request| match caller(parts) {
            Some(caller) => request.principal(&caller),
            None => request.principal(&None::<&str>),
        }));
        self
    }

    /// What must match on a retry, beside method and path, instead of the query, the content type and the body. Where it
    /// is `None`, all of these are compared.
    ///
    /// It is what the attribute makes of the same value by `fingerprint = …`. The body is read whole all the same.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
    /// # let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()));
    /// // Forms whose parts are divided by another boundary each time, from clients that send a digest.
    /// let layer = layer.fingerprint(|request| {
    ///     let digest = request.headers.get("content-digest")?;
    ///     digest.to_str().ok().map(str::to_owned)
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn fingerprint<P: KeyPart>(
        mut self,
        fingerprint: impl Fn(&Parts) -> Option<P> + Send + Sync + 'static,
    ) -> Self {
        self.terms.fingerprint = Some(Arc::new(move |parts, request| {
            if let Some(fingerprint) = fingerprint(parts) {
                request.fingerprint(&fingerprint);
            }
        }));
        self
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService::new(inner, self.terms.clone())
    }
}

impl fmt::Debug for IdempotencyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("idempotency", &self.terms.idempotency)
            .field("options", &self.terms.options)
            .field("body_limit", &self.terms.body_limit)
            .finish_non_exhaustive()
    }
}
