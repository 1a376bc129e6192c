use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::model::Hold;
use crate::store::{IdempotencyStore, LeaseState, StoreError};

/// Two thirds of a lease are left for a renewal that takes its time.
const RENEWALS_PER_LEASE: u32 = 3;

/// A reservation that is to be renewed, and to be ended in the end.
#[derive(Debug, Clone)]
pub(crate) struct RenewalTarget {
    pub(crate) store: Arc<dyn IdempotencyStore>,
    pub(crate) hold: Hold,
    /// Before the store was asked for the reservation: its retention began no earlier.
    pub(crate) asked: Instant,
}

impl RenewalTarget {
    /// Asks the store to let the lease begin anew. The instant is from before the question: the new lease begins no
    /// earlier.
    pub(crate) async fn renew(&self) -> Result<(Instant, LeaseState), StoreError> {
        let Hold { claim, token, .. } = &self.hold;
        let (sent, retention) = (Instant::now(), self.remaining());
        // The store itself, not the implementation for an `Arc` of it, which would box the future once more.
        let store = &*self.store;
        let state = store.renew(claim.id.principal(), claim.id.key(), *token, claim.lease, retention).await?;
        Ok((sent, state))
    }

    /// How much longer the row is to be kept: its retention counts from when it was asked for, and it outlasts the
    /// lease of a run that lives.
    pub(crate) fn remaining(&self) -> Duration {
        let claim = &self.hold.claim;
        claim.retention.saturating_sub(self.asked.elapsed()).max(claim.lease)
    }

    /// How long after a renewal was sent the next one is due.
    pub(crate) fn renew_interval(&self) -> Duration {
        (self.hold.claim.lease / RENEWALS_PER_LEASE).max(Duration::from_millis(1))
    }
}
