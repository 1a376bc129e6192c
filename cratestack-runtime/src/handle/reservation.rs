use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::Span;
use uuid::Uuid;

use super::event::span;
use super::idempotency::Idempotency;
use super::reservation_kind::{AnyStore, ReservationKind};
use crate::engine::{Hold, OwnedClaim, RunSteps};
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
        self.slot.holds().steps.get()
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
#[derive(Debug, Clone)]
pub struct ReservationSlot(Arc<Holds>);

/// The reservations of one request: one, unless its transaction is run again.
#[derive(Debug)]
struct Holds<B: ?Sized = dyn Any + Send + Sync> {
    /// Whose door made the slot. Empty where nothing will be reserved, and until the handle is known.
    handle: OnceLock<Idempotency>,
    /// What was given away before the handle was known, and needs of its store.
    needs: Mutex<Vec<StoreNeed>>,
    first: OnceLock<Hold>,
    again: Mutex<Option<(Uuid, u32)>>,
    steps: OnceLock<RunSteps>,
    /// The work runs under the reservation at this moment.
    is_running: AtomicBool,
    /// Whose reservation this is, where another door has it.
    joined: OnceLock<ReservationSlot>,
    /// How many [`Reservation`]s there are of it.
    lent: AtomicUsize,
    beside: B,
}

/// What a door keeps of a request beside its reservation, so that the two are one allocation.
pub(crate) struct Beside<B>(Arc<Holds<B>>);

impl<B> Clone for Beside<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Deref for Beside<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0.beside
    }
}

/// What a reservation needs of its store, and the reservation's type.
#[derive(Debug)]
struct StoreNeed {
    reservation: fn() -> &'static str,
    is_met_by: fn(&Arc<dyn Any + Send + Sync>) -> bool,
}

impl Default for ReservationSlot {
    fn default() -> Self {
        Self::beside(None, ()).0
    }
}

impl ReservationSlot {
    /// For a run of a door of the handle's.
    pub(crate) fn of(handle: &Idempotency) -> Self {
        Self::beside(Some(handle), ()).0
    }

    /// The same, with what the door keeps beside it; the handle may be told later.
    pub(crate) fn beside<B: Send + Sync + 'static>(handle: Option<&Idempotency>, beside: B) -> (Self, Beside<B>) {
        let holds = Arc::new(Holds {
            handle: handle.cloned().map_or_else(OnceLock::new, OnceLock::from),
            needs: Mutex::default(),
            first: OnceLock::new(),
            again: Mutex::default(),
            steps: OnceLock::new(),
            is_running: AtomicBool::new(false),
            joined: OnceLock::new(),
            lent: AtomicUsize::new(0),
            beside,
        });
        (Self(Arc::clone(&holds) as Arc<Holds>), Beside(holds))
    }

    /// The handle is known, which it was not when the slot was made.
    pub(crate) fn belongs_to(&self, handle: &Idempotency) {
        drop(self.0.handle.set(handle.clone()));
    }

    /// The store that the key is reserved in, once the handle is known.
    pub(crate) fn store(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.handle.get().map(|handle| handle.engine().any_store())
    }

    /// Asks the store for what a reservation of this kind needs. Where the handle is yet to be known, it is asked then,
    /// by [`unmet_need`](Self::unmet_need).
    pub(crate) fn serves<K: ReservationKind>(&self) -> bool {
        self.store().map_or_else(
            || {
                lock(&self.0.needs)
                    .push(StoreNeed { reservation: type_name::<Reservation<K>>, is_met_by: K::is_served_by });
                true
            },
            K::is_served_by,
        )
    }

    /// The type of a reservation that was given away before the handle was known, whose store cannot do what it needs.
    pub(crate) fn unmet_need(&self) -> Option<&'static str> {
        let store = self.store()?;
        let needs = lock(&self.0.needs);
        needs.iter().find(|need| !(need.is_met_by)(store)).map(|need| (need.reservation)())
    }

    fn fill(&self, hold: Hold) {
        if let Err(Hold { token, attempt, .. }) = self.0.first.set(hold) {
            *lock(&self.0.again) = Some((token, attempt));
        }
    }

    /// The work is about to run: its arguments find the reservation, and its log lines the span that is returned.
    pub(crate) fn begin(&self, hold: Option<&Hold>) -> Span {
        let Some(hold) = hold else { return Span::none() };
        self.fill(hold.clone());
        span(hold)
    }

    /// The run keeps steps.
    pub(crate) fn keep_steps(&self, steps: RunSteps) {
        drop(self.0.steps.set(steps));
    }

    /// Whether an error of the run is no outcome, because of its steps: one gave no value, for which the work is not to
    /// blame; or the database gave a step's transaction up, and the error `hides_its_cause`.
    pub(crate) fn is_unfinished(&self, hides_its_cause: bool) -> bool {
        let steps = self.holds().steps.get();
        steps.is_some_and(|steps| steps.have_failed() || (hides_its_cause && steps.were_given_up()))
    }

    /// The work runs under the reservation until what is returned is dropped.
    pub(crate) fn running(&self) -> Running {
        self.0.is_running.store(true, Ordering::Relaxed);
        Running(self.clone())
    }

    /// What is reserved, while the work runs under it. What runs without protection has no reservation.
    pub(crate) fn running_under(&self) -> Option<&Hold> {
        let holds = self.holds();
        let is_running = holds.is_running.load(Ordering::Relaxed);
        holds.first.get().filter(|hold| is_running && !hold.token.is_nil())
    }

    /// Whether it is one of this handle's, or of another that has the same engine and names callers as this one does.
    pub(crate) fn is_of(&self, handle: &Idempotency) -> bool {
        self.holds().handle.get().is_some_and(|own| {
            std::ptr::eq(own.engine(), handle.engine()) && own.settings().namespace == handle.settings().namespace
        })
    }

    /// The work runs under a reservation that another door has.
    pub(crate) fn join(&self, other: &Self) {
        drop(self.0.joined.set(other.clone()));
    }

    fn holds(&self) -> &Holds {
        self.0.joined.get().map_or(&self.0, Self::holds)
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
        &self.holds().first.get().expect(TOO_EARLY).claim
    }

    /// Token and attempt of the latest reservation.
    fn latest(&self) -> (Uuid, u32) {
        let holds = self.holds();
        let again = *lock(&holds.again);
        again.or_else(|| holds.first.get().map(|hold| (hold.token, hold.attempt))).expect(TOO_EARLY)
    }
}

/// Work runs under a reservation.
#[derive(Debug)]
pub(crate) struct Running(ReservationSlot);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.is_running.store(false, Ordering::Relaxed);
    }
}
