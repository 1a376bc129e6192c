use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::idempotency::Idempotency;
use super::settings::OnStoreError;

impl<S: ?Sized> Idempotency<S> {
    /// How long an outcome is kept, from the moment that its key is reserved, or its transaction begins. Default: 24
    /// hours. The attribute's `ttl = "…"` overrides it.
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
    /// process dies, the same request may run again once the lease has ended; another one under the key is refused
    /// until the [`ttl`](Self::ttl) ends. A process that stalls for longer than the lease loses it, and a retry then
    /// runs beside it. The same happens where an outcome or a renewal waits for the store for longer than the lease.
    /// Make the lease longer than any stall or outage that you are ready to believe in. A lease is at least 30 ms and
    /// at most the `ttl`.
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

    /// How many bytes of outcomes this process keeps in memory, so that a retry of a request whose outcome it has seen
    /// asks no store. Default: 8 MiB; 0 keeps none.
    ///
    /// A recorded outcome does not change until it expires. It is kept until then at most, by the store's clock;
    /// outcomes of a store without a clock, such as [`MemoryStore`](crate::MemoryStore), are not kept. Nor is an
    /// outcome kept longer than the session of the store that it was recorded in: a server that crashes, or is replaced
    /// by its standby, may have lost it. A session counts for a second; while outcomes are replayed from memory it is
    /// looked at about once a second, on Postgres by one small statement over a connection of this process' own, which
    /// is opened with the first guarded request (not with 0). Within that second, an outcome that the server has lost
    /// may still be replayed; after it, never. Retries that are further apart ask the store. Behind a pooler in
    /// transaction mode nothing is kept.
    ///
    /// All clones of a handle share what is kept. What [`forget_record`](Self::forget_record) deletes, or the command
    /// `cratestack-schema forget`, is replayed from memory for a second at most. Whoever deletes a row by hand, so that
    /// its request may run again, has every process [`forget`](Self::forget) it, or sets this to 0. An outcome of more
    /// than a sixteenth of this is not kept.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).replay_cache_bytes(64 * 1024 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn replay_cache_bytes(self, bytes: u64) -> Self {
        self.engine().replay_cache().bound(bytes);
        self
    }

    /// How many guarded handlers of this process run at once. Default: 10,000.
    ///
    /// A handler goes on when its client hangs up, so a limit on connections, or a layer that counts responses, does
    /// not bound how many run; this does. One request more is answered 503 (`idempotency_overloaded`, with
    /// `Retry-After`) before anything is reserved. As many duplicates may wait (`wait = "…"`); one more is answered 409
    /// at once. All clones share the bound. A replay that only the store can tell needs a place as well, for as long as
    /// the store takes.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_running(500);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_running(self, handlers: usize) -> Self {
        self.engine().set_max_running(handlers);
        self
    }

    /// How many bytes of outcomes this process holds that are in the making, or wait to be written because the store
    /// cannot take them. Default: 256 MiB.
    ///
    /// Each run takes 16 KiB before its key is reserved, and its outcome's size once that is known. Where there is no
    /// room, a request is answered 503 (`idempotency_overloaded`, with `Retry-After`) before anything is reserved. An
    /// outcome is never dropped for its size: what runs already may go beyond the bound, by at most
    /// [`max_response_bytes`](Self::max_response_bytes) each. All clones share it.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_pending_bytes(64 * 1024 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_pending_bytes(self, bytes: u64) -> Self {
        self.engine().set_max_pending_bytes(bytes);
        self
    }
}
