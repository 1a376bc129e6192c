use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::Span;
use uuid::Uuid;

use super::event::Subject;
use super::reservation_kind::AnyStore;
use crate::engine::{Engine, Hold, OwnedClaim, RunSteps};
use crate::util::lock;

/// The reservation that a handler runs under: an argument of an `#[idempotent]` handler.
///
/// It makes the calls that the handler makes idempotent in their turn: [`derive`](Self::derive) gives the same value for
/// every attempt of one request, whichever process makes it. And it keeps what the handler has done: a
/// [`step`](Self::step) that is recorded is not done again by the request's next attempt.
///
/// ```
/// use axum::http::StatusCode;
/// use cratestack_runtime::{Reservation, idempotent};
///
/// # async fn charge(key: uuid::Uuid) -> Result<(), ()> { let _ = key; Ok(()) }
/// #[idempotent]
/// async fn pay(reservation: Reservation) -> StatusCode {
///     // The payment provider makes one charge, however often this handler is started.
///     match charge(reservation.derive("charge-card")).await {
///         Ok(()) => StatusCode::CREATED,
///         Err(()) => StatusCode::BAD_GATEWAY,
///     }
/// }
/// ```
///
/// A handler that also runs unguarded (with `optional`, or for a safe method) takes `Option<Reservation>`, as an
/// argument of its own where the attribute has `key = …`: whether there is a key is then known after all extractors
/// have run, so a request without one is refused (400) where an extractor of yours holds the reservation. It is the
/// handler's to use, not another extractor's: until the key is reserved it has nothing to tell, and its methods panic.
///
/// The type parameter says what else it can do:
///
/// | type | in | has |
/// |---|---|---|
/// | `Reservation` | handlers without `transaction` | [`step`](Self::step) |
/// | `Reservation<Postgres>`, `Reservation<Sqlite>` | handlers without `transaction`, whose handle is over a store in that database | also `transaction`, a step whose writes and record are one commit |
/// | `Reservation<InTransaction>` | handlers with `transaction` | no steps: the whole run is one commit |
pub struct Reservation<K = AnyStore> {
    slot: ReservationSlot,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Reservation<K> {
    fn clone(&self) -> Self {
        Self::of(&self.slot)
    }
}

impl<K> Drop for Reservation<K> {
    fn drop(&mut self) {
        self.slot.take_back();
    }
}

impl<K> fmt::Debug for Reservation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("slot", &self.slot).finish()
    }
}

const TOO_EARLY: &str = "a `Reservation` tells nothing before its handler runs: use it in the handler only";

impl<K> Reservation<K> {
    pub(crate) fn of(slot: &ReservationSlot) -> Self {
        Self { slot: slot.lend(), kind: PhantomData }
    }

    /// The idempotency key: as the header has it, without quotes, or a digest where the attribute's `key = …` made it.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    pub fn key(&self) -> &str {
        self.slot.claim().id.key()
    }

    /// The caller that the key belongs to, as the store knows it.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    pub fn principal(&self) -> &str {
        self.slot.claim().id.principal()
    }

    /// The token of this reservation. Another attempt at the same request has another one, so a system that remembers
    /// the latest can tell a stale holder off. Nil where the store failed and `on_store_error = run` let the handler
    /// run.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    pub fn token(&self) -> Uuid {
        self.slot.latest().0
    }

    /// 1 for the first attempt; more where earlier ones went silent and this one took over, whose effect may have
    /// happened. 0 where the store failed and `on_store_error = run` let the handler run.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    pub fn attempt(&self) -> u32 {
        self.slot.latest().1
    }

    /// The steps of this run; `None` where nothing protects it.
    pub(super) fn steps(&self) -> Option<&RunSteps> {
        // For what it panics with.
        self.slot.latest();
        self.slot.0.steps.get()
    }

    /// The store that the key is reserved in.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn store(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.slot.store()
    }

    /// How long it lasts without a renewal.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn lease(&self) -> Duration {
        self.slot.claim().lease
    }

    /// An idempotency key for a call that the handler makes: the same for every attempt of this request and this
    /// `purpose`, and for no other. A version 8 UUID (RFC 9562, 5.8) of the caller, the key, the request and the
    /// purpose.
    ///
    /// # Panics
    ///
    /// Before the handler runs.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Uuid {
        let claim = self.slot.claim();
        let mut hasher = Sha256::new_with_prefix(b"cratestack derive\0");
        for part in
            [claim.id.principal().as_bytes(), claim.id.key().as_bytes(), &claim.request_hash, purpose.as_bytes()]
        {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// Where a door puts the reservation and the work finds it. There is one before there is a reservation, because the
/// work has its arguments before anything is reserved.
#[derive(Debug, Clone, Default)]
pub struct ReservationSlot(Arc<Holds>);

/// The reservations of one request: one, unless its transaction is run again.
#[derive(Debug, Default)]
struct Holds {
    /// The store that the key is reserved in; `None` where nothing will be reserved.
    store: Option<Arc<dyn Any + Send + Sync>>,
    first: OnceLock<Hold>,
    again: Mutex<Option<(Uuid, u32)>>,
    steps: OnceLock<RunSteps>,
    /// How many [`Reservation`]s there are of it.
    lent: AtomicUsize,
}

impl ReservationSlot {
    /// For a run over the engine's store.
    pub(crate) fn over(engine: &Engine) -> Self {
        Self(Arc::new(Holds { store: Some(Arc::clone(engine.any_store())), ..Holds::default() }))
    }

    /// The store that the key is reserved in.
    pub(crate) fn store(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.store.as_ref()
    }

    fn fill(&self, hold: Hold) {
        if let Err(Hold { token, attempt, .. }) = self.0.first.set(hold) {
            *lock(&self.0.again) = Some((token, attempt));
        }
    }

    /// The work is about to run: its arguments find the reservation, and its log lines the span that is returned.
    pub(crate) fn begin(&self, subject: Subject, hold: Option<&Hold>) -> Span {
        let Some(hold) = hold else { return Span::none() };
        self.fill(hold.clone());
        subject.span(hold)
    }

    /// The run keeps steps.
    pub(crate) fn keep_steps(&self, steps: RunSteps) {
        drop(self.0.steps.set(steps));
    }

    /// Whether an error of the run is no outcome, because of its steps: one gave no value, for which the work is not to
    /// blame; or the database gave a step's transaction up, and the error `hides_its_cause`.
    pub(crate) fn is_unfinished(&self, hides_its_cause: bool) -> bool {
        let steps = self.0.steps.get();
        steps.is_some_and(|steps| steps.have_failed() || (hides_its_cause && steps.were_given_up()))
    }

    /// Whether an argument of the work's, or something in it, has the reservation.
    pub(crate) fn is_lent(&self) -> bool {
        self.0.lent.load(Ordering::Relaxed) > 0
    }

    fn lend(&self) -> Self {
        self.0.lent.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    fn take_back(&self) {
        self.0.lent.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is reserved.
    fn claim(&self) -> &OwnedClaim {
        &self.0.first.get().expect(TOO_EARLY).claim
    }

    /// Token and attempt of the latest reservation.
    fn latest(&self) -> (Uuid, u32) {
        let again = *lock(&self.0.again);
        again.or_else(|| self.0.first.get().map(|hold| (hold.token, hold.attempt))).expect(TOO_EARLY)
    }
}
