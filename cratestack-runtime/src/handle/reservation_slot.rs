use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use crate::engine::{Hold, OwnedClaim};
use crate::http::Problem;

/// Where the engine puts the reservation, and the handler's arguments find it. It travels in the request's extensions,
/// because extractors run before anything is reserved.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Guarded(Arc<Granted>),
    Vacant(Vacancy),
}

/// Why a request has no reservation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Vacancy {
    SafeMethod,
    NoKey(Problem),
}

impl Default for Slot {
    fn default() -> Self {
        Self::Guarded(Arc::default())
    }
}

impl Slot {
    pub(crate) fn fill(&self, hold: Hold) {
        if let Self::Guarded(granted) = self {
            granted.add(hold);
        }
    }

    /// Whether an argument of the handler's, or something in it, has the reservation.
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self, Self::Guarded(granted) if granted.lent.load(Ordering::Relaxed) > 0)
    }
}

/// The reservations of a request: one, unless its transaction is run again.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    first: OnceLock<Hold>,
    again: Mutex<Option<(Uuid, u32)>>,
    /// How many [`Reservation`](crate::Reservation)s there are of it.
    lent: AtomicUsize,
}

impl Granted {
    pub(crate) fn lend(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_back(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }

    fn add(&self, hold: Hold) {
        if let Err(Hold { token, attempt, .. }) = self.first.set(hold) {
            *self.again.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, attempt));
        }
    }

    /// What is reserved; `None` as long as nothing is.
    pub(crate) fn claim(&self) -> Option<&OwnedClaim> {
        self.first.get().map(|hold| &*hold.claim)
    }

    /// Token and attempt of the latest reservation.
    pub(crate) fn latest(&self) -> Option<(Uuid, u32)> {
        let again = *self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.or_else(|| self.first.get().map(|hold| (hold.token, hold.attempt)))
    }
}
