use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::event::Happening;
use super::settings::Settings;
use crate::engine::{Engine, Hold, Sweeper, Transition, sweep};
use crate::store::{IdempotencyStore, StoreError, TransactionalStore};

/// The handle on a store that `#[idempotent]` handlers find in the router's state, with the defaults that apply where
/// the attribute says nothing.
///
/// Cheap to clone: all clones share one store and one set of running requests. It is reached through axum's `FromRef`,
/// so it is a field of the state (or the state itself).
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
/// `Idempotency<PostgresStore>` and `Idempotency<SqliteStore>`, made by [`transactional`](Self::transactional), are
/// handles that `#[idempotent(transaction)]` works with; the plain `Idempotency` has forgotten which store it is over.
/// One becomes the other with `Idempotency::from`, and the two then share everything.
pub struct Idempotency<S: ?Sized = dyn IdempotencyStore> {
    shared: Arc<Shared>,
    store: Arc<S>,
}

/// Behind one `Arc`, because each request clones its handle more than once.
#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    settings: Settings,
}

impl Shared {
    fn over(store: &Arc<impl IdempotencyStore>) -> Arc<Self> {
        Arc::new(Self { engine: Arc::new(Engine::new(Arc::clone(store))), settings: Settings::default() })
    }
}

impl<S: ?Sized> Clone for Idempotency<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), store: Arc::clone(&self.store) }
    }
}

impl Idempotency {
    /// A handle on `store` with the defaults: outcomes are kept for 24 hours, a lease lasts 30 seconds, bodies are
    /// bounded by [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES), a caller is its `Authorization` header or else its IP
    /// address.
    ///
    /// ```
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn new(store: impl IdempotencyStore) -> Self {
        let store = Arc::new(store);
        Self { shared: Shared::over(&store), store }
    }

    /// Tells whoever watches this handle of each transition of a key.
    pub(crate) fn observer(&self) -> impl Fn(Transition, &Hold) + Send + Sync + 'static {
        let idempotency = self.clone();
        move |transition, hold| {
            let happening = Happening::of(hold.claim.id.as_ref(), transition.into());
            idempotency.tell(&Happening { attempt: hold.attempt, ..happening });
        }
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
        Self { shared: Shared::over(&store), store }
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn store(&self) -> &Arc<S> {
        &self.store
    }
}

impl<S: TransactionalStore> From<Idempotency<S>> for Idempotency {
    fn from(handle: Idempotency<S>) -> Self {
        let Idempotency { shared, store } = handle;
        Self { shared, store }
    }
}

impl<S: ?Sized> Idempotency<S> {
    /// Lets this process ask the store again for the outcome of a key. It does not touch the store;
    /// [`forget_record`](Self::forget_record) deletes the record.
    ///
    /// Principal and key are as the table has them, the principal with its namespace.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// idempotency.forget("622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1", "8e03978e");
    /// ```
    pub fn forget(&self, principal: &str, key: &str) {
        self.shared.engine.replay_cache().forget(principal, key);
    }

    /// Lets what is running finish and record, for at most `deadline`, and says how many requests were still unfinished
    /// then: with 0, every outcome is recorded.
    ///
    /// Call it after axum's graceful shutdown: that waits for connections, this for the handlers whose clients have
    /// hung up and for outcomes that the store has not taken yet. What is cut off by the end of the process leaves its
    /// key reserved until the lease ends.
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
        self.shared.engine.wait_idle(deadline).await
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
        sweep(&**self.shared.engine.store()).await
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
        Sweeper::start(Arc::clone(self.shared.engine.store()), interval)
    }

    /// A handle with other settings, over the same engine and store.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut Arc::make_mut(&mut self.shared).settings);
        self
    }

    pub(crate) fn tell(&self, happening: &Happening<'_>) {
        happening.log();
        if let Some(hook) = &self.shared.settings.on_event {
            // A hook that fails must not take the request's outcome along.
            let _ = catch_unwind(AssertUnwindSafe(|| happening.tell(&**hook)));
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl<S: ?Sized> std::fmt::Debug for Idempotency<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idempotency")
            .field("ttl", &self.shared.settings.ttl)
            .field("lease", &self.shared.settings.lease)
            .finish_non_exhaustive()
    }
}
