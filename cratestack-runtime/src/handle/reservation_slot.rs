use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use crate::engine::{Hold, OwnedClaim};

/// Where a door puts the reservation and the work finds it. There is one before there is a reservation, because the
/// work has its arguments before anything is reserved.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReservationSlot(Arc<Holds>);

/// The reservations of one request: one, unless its transaction is run again.
#[derive(Debug, Default)]
struct Holds {
    first: OnceLock<Hold>,
    again: Mutex<Option<(Uuid, u32)>>,
    /// How many [`Reservation`](crate::Reservation)s there are of it.
    lent: AtomicUsize,
}

impl ReservationSlot {
    pub(crate) fn fill(&self, hold: Hold) {
        if let Err(Hold { token, attempt, .. }) = self.0.first.set(hold) {
            *self.0.again.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, attempt));
        }
    }

    /// Whether an argument of the work's, or something in it, has the reservation.
    pub(crate) fn is_lent(&self) -> bool {
        self.0.lent.load(Ordering::Relaxed) > 0
    }

    pub(super) fn lend(&self) -> Self {
        self.0.lent.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    pub(super) fn take_back(&self) {
        self.0.lent.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is reserved; `None` as long as nothing is.
    pub(super) fn claim(&self) -> Option<&OwnedClaim> {
        self.0.first.get().map(|hold| &*hold.claim)
    }

    /// Token and attempt of the latest reservation.
    pub(super) fn latest(&self) -> Option<(Uuid, u32)> {
        let again = *self.0.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.or_else(|| self.0.first.get().map(|hold| (hold.token, hold.attempt)))
    }
}
