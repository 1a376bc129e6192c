//! A grant is an answer in transit: what a reservation has come to, on the way to its caller.
//!
//! ```text
//! worker │ reserves, commits ── sends the grant ──┐
//! caller │ waits ─────────────────────────────────┴─ takes the grant: the reservation is the caller's
//! caller │ waits ── has gone ─────────────────────┴─ nobody takes the grant: dropped, it posts the release
//! ```

use super::operation::Operation;
use super::queue::BatchQueue;
use crate::store::{ClaimOutcome, RecordId};

/// The answer to a reservation. Dropped before it is taken, it gives back what was reserved.
pub(crate) struct Grant<Release: Operation> {
    outcome: ClaimOutcome,
    give_back: Option<GiveBack<Release>>,
}

/// The call that releases a reservation, and where it is made.
type GiveBack<Release> = (BatchQueue<Release>, RecordId, <Release as Operation>::Args);

impl<Release: Operation> Grant<Release> {
    /// An answer that is its caller's already, or no reservation.
    pub(crate) fn taken(outcome: ClaimOutcome) -> Self {
        Self { outcome, give_back: None }
    }

    /// Until somebody takes it.
    pub(crate) fn give_back_by(&mut self, queue: &BatchQueue<Release>, id: &RecordId, release: Release::Args) {
        self.give_back = Some((queue.clone(), id.clone(), release));
    }

    pub(crate) fn take(mut self) -> ClaimOutcome {
        self.give_back = None;
        std::mem::replace(&mut self.outcome, ClaimOutcome::InFlight)
    }
}

impl<Release: Operation> Drop for Grant<Release> {
    fn drop(&mut self) {
        if let Some((queue, id, args)) = self.give_back.take() {
            queue.post(id, args);
        }
    }
}
