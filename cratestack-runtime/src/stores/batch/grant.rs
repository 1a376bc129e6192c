//! A grant is an answer in transit: what a reservation has come to, on the way to its caller.
//!
//! ```text
//! worker │ reserves, commits ── sends the grant ──┐
//! caller │ waits ─────────────────────────────────┴─ takes the grant: the reservation is the caller's
//! caller │ waits ── has gone ─────────────────────┴─ nobody takes the grant: dropped, it gives the reservation back
//! ```

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::{operation::Operation, queue::BatchQueue};
use crate::store::ClaimOutcome;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::store::RecordId;

/// How a reservation is given back that nobody has taken.
pub(crate) trait GiveBack {
    fn give_back(self);
}

/// The answer to a reservation. Dropped before it is taken, it gives back what was reserved.
pub(crate) struct Grant<G: GiveBack> {
    outcome: ClaimOutcome,
    give_back: Option<G>,
}

impl<G: GiveBack> Grant<G> {
    /// An answer that is its caller's already, or no reservation.
    pub(crate) fn taken(outcome: ClaimOutcome) -> Self {
        Self { outcome, give_back: None }
    }

    /// Until somebody takes it.
    pub(crate) fn give_back_by(&mut self, give_back: G) {
        self.give_back = Some(give_back);
    }

    pub(crate) fn take(mut self) -> ClaimOutcome {
        self.give_back = None;
        std::mem::replace(&mut self.outcome, ClaimOutcome::InFlight)
    }
}

impl<G: GiveBack> Drop for Grant<G> {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back.give_back();
        }
    }
}

/// A call that releases a reservation, and the queue in which it is made.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) struct ReleaseIn<Release: Operation> {
    pub(crate) queue: BatchQueue<Release>,
    pub(crate) id: RecordId,
    pub(crate) args: Release::Args,
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<Release: Operation> GiveBack for ReleaseIn<Release> {
    fn give_back(self) {
        self.queue.post(self.id, self.args);
    }
}
