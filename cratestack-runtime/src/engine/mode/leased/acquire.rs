//! A reservation, under a lease that still lasts when it is told.
//!
//! ```text
//! run                          store                        another process
//! asks ─────────────────────▶  writes, leased from here
//!                              waits to commit
//!                              … the lease ends …           may take the key over
//! is told, too late: renews ▶  still this one's: leased anew
//!                              taken over: lost ──────────▶ runs
//! ```
//!
//! A reservation that was answered late is therefore renewed before its work begins. Where the store is too slow for
//! that as well, it is given back, and the caller is told that the store is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::engine::lease::renewal::RenewalTarget;
use crate::engine::model::{Acquired, Hold, OwnedClaim};
use crate::engine::store_call::{store_call, too_late};
use crate::store::{ClaimOutcome, IdempotencyStore, LeaseState, StoreError};
use crate::util::timeout;

/// Asks for a reservation of the store's, for as long as `timeout`.
pub(super) struct AcquireReservation<'a> {
    pub(super) store: &'a Arc<dyn IdempotencyStore>,
    pub(super) claim: &'a Arc<OwnedClaim>,
    pub(super) timeout: Duration,
}

/// What leased work runs by.
pub(crate) enum LeasedGrant {
    /// A reservation that was told in time. Its lease was asked for at `leased`, and began no earlier.
    Reserved { target: RenewalTarget, leased: Instant },
    /// Nothing protects the work. It may have claimed a key, which the store could not say the holder of.
    Unprotected(Option<Hold>),
}

impl AcquireReservation<'_> {
    pub(super) async fn acquire(&self) -> Result<Acquired<LeasedGrant>, StoreError> {
        let asked = Instant::now();
        let outcome = match self.store.at_once() {
            Some(store) => store.reserve_at_once(&self.claim.id, &self.claim.as_claim()),
            None => self.ask(asked).await?,
        };
        match outcome {
            ClaimOutcome::Reserved { token, attempt } => {
                let hold = Hold { claim: Arc::clone(self.claim), token, attempt };
                let target = RenewalTarget { store: Arc::clone(self.store), hold, asked };
                if is_in_time(&target, asked) {
                    return Ok(Acquired::Ours(LeasedGrant::Reserved { target, leased: asked }));
                }
                // Boxed, because what is in time need not carry it.
                Box::pin(self.renew_until_in_time(target)).await
            }
            ClaimOutcome::Replay(record) => Ok(Acquired::Replay(Arc::new(record))),
            ClaimOutcome::InFlight => Ok(Acquired::InFlight),
            ClaimOutcome::Conflict => Ok(Acquired::Conflict),
        }
    }

    /// What a store says that may keep its callers waiting.
    async fn ask(&self, asked: Instant) -> Result<ClaimOutcome, StoreError> {
        let mut asking = {
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            // The store itself, not the implementation for an `Arc` of it, which would box the future once more.
            Box::pin(async move { store_call(async { (*store).reserve(claim.as_claim()).await }).await })
        };
        let Ok(outcome) = timeout(self.timeout, &mut asking).await else {
            // The store may still reserve. To drop the question now would pin the key until the lease ends.
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            tokio::spawn(async move {
                if let Ok(ClaimOutcome::Reserved { token, attempt }) = asking.await {
                    give_back(RenewalTarget { store, hold: Hold { claim, token, attempt }, asked }).await;
                }
            });
            return Err(too_late(self.timeout));
        };
        outcome
    }

    /// A reservation that was told late is leased anew, as often as it takes.
    async fn renew_until_in_time(&self, target: RenewalTarget) -> Result<Acquired<LeasedGrant>, StoreError> {
        let asked = target.asked;
        warn!(
            after = ?asked.elapsed(),
            "an idempotency reservation was answered when its lease was all but over, and is renewed before its work runs; \
             the lease is short for this store"
        );
        let until = asked + self.timeout;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let Ok(renewed) = timeout(left, store_call(target.renew())).await else { break };
            let (leased, state) = match renewed {
                Ok(renewed) => renewed,
                Err(failure) => {
                    tokio::spawn(give_back(target));
                    return Err(failure);
                }
            };
            let is_ours = match state {
                LeaseState::Held => is_in_time(&target, leased),
                // It knows no lease: the reservation holds for its retention.
                LeaseState::Unknown if asked.elapsed() < self.claim.retention => true,
                LeaseState::Unknown => break,
                LeaseState::Lost => return Ok(Acquired::InFlight),
            };
            if is_ours {
                return Ok(Acquired::Ours(LeasedGrant::Reserved { target, leased }));
            }
        }
        tokio::spawn(give_back(target));
        Err(too_late(self.timeout))
    }
}

/// Whether there is time for a renewal before the lease ends that was asked for at `leased`.
fn is_in_time(target: &RenewalTarget, leased: Instant) -> bool {
    leased.elapsed() < target.hold.claim.lease.saturating_sub(target.renew_interval())
}

async fn give_back(target: RenewalTarget) {
    let RenewalTarget { store, hold: Hold { claim, token, .. }, .. } = target;
    // Where it is not given back, the end of the lease gives the key back.
    drop((*store).release(claim.id.principal(), claim.id.key(), token).await);
}
