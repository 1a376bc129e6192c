use std::fmt;

use super::batch_queue::BatchQueue;
use super::operation::Operation;
use crate::store::{ClaimOutcome, RecordId};

/// The answer to a reservation on its way to its caller. A reservation that nobody takes is given back.
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

    pub(crate) fn new(outcome: ClaimOutcome, give_back: GiveBack<Release>) -> Self {
        Self { outcome, give_back: Some(give_back) }
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

impl<Release: Operation> fmt::Debug for Grant<Release> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)
    }
}
