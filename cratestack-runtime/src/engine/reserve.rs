//! A reservation, under a lease that still lasts when it is told.
//!
//! ```text
//! request                      store                        another process
//! asks ─────────────────────▶  writes, leased from here
//!                              waits to commit
//!                              … the lease ends …           may take the key over
//! is told, too late: renews ▶  still this one's: leased anew
//!                              taken over: lost ──────────▶ runs
//! ```
//!
//! A reservation that was answered late is therefore renewed before its work begins. Where the store is too slow for that as
//! well, it is given back, and the request is answered that the store is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::acquire::{Ask, Found};
use super::lease::renew_interval;
use super::model::{Hold, OwnedClaim};
use super::store_call::store_call;
use crate::store::{ClaimOutcome, IdempotencyStore, LeaseState, StoreError};
use crate::util::timeout;

/// Asks for a reservation of the store's, for as long as `patience` lasts.
pub(super) struct Reserve<'a> {
    pub(super) store: &'a Arc<dyn IdempotencyStore>,
    pub(super) claim: &'a Arc<OwnedClaim>,
    pub(super) patience: Duration,
}

#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) hold: Hold,
    /// Before the store was asked for the reservation: its retention began no earlier.
    pub(super) asked: Instant,
    /// Before the store was asked for the lease: it began no earlier.
    pub(super) leased: Instant,
}

impl Reservation {
    /// Whether there is time for a renewal before the lease ends.
    fn is_in_time(&self) -> bool {
        let claim = &self.hold.claim;
        self.leased.elapsed() < claim.lease.saturating_sub(renew_interval(claim.lease))
    }
}

impl Ask for Reserve<'_> {
    type Grant = Reservation;

    async fn ask(&self) -> Result<Found<Reservation>, StoreError> {
        let asked = Instant::now();
        let mut asking = {
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            // The store itself, not the implementation for an `Arc` of it, which would box the future once more.
            Box::pin(async move { store_call(async { (*store).reserve(claim.as_claim()).await }).await })
        };
        let Ok(outcome) = timeout(self.patience, &mut asking).await else {
            // The store may still reserve. To drop the question now would pin the key until the lease ends.
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            tokio::spawn(async move {
                if let Ok(ClaimOutcome::Reserved { token, .. }) = asking.await {
                    drop(store.release(claim.id.principal(), claim.id.key(), token).await);
                }
            });
            return Err(too_late(self.patience));
        };
        match outcome? {
            ClaimOutcome::Reserved { token, attempt } => {
                let hold = Hold { claim: Arc::clone(self.claim), token, attempt };
                let reservation = Reservation { hold, asked, leased: asked };
                if reservation.is_in_time() {
                    return Ok(Found::Ours(reservation));
                }
                self.renewed(reservation).await
            }
            ClaimOutcome::Replay(record) => Ok(Found::Replay(Arc::new(record))),
            ClaimOutcome::InFlight => Ok(Found::InFlight),
            ClaimOutcome::Conflict => Ok(Found::Conflict),
        }
    }
}

impl Reserve<'_> {
    /// A reservation that was told late is leased anew, as often as it takes.
    async fn renewed(&self, mut reservation: Reservation) -> Result<Found<Reservation>, StoreError> {
        warn!(
            after = ?reservation.asked.elapsed(),
            "an idempotency reservation was answered when its lease was all but over, and is renewed before its handler \
             runs; the lease is short for this store"
        );
        let until = reservation.asked + self.patience;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            reservation.leased = Instant::now();
            let Hold { claim, token, .. } = &reservation.hold;
            let retention = remaining(claim, reservation.asked);
            let renewal = self.store.renew(claim.id.principal(), claim.id.key(), *token, claim.lease, retention);
            let Ok(renewed) = timeout(left, store_call(renewal)).await else { break };
            match renewed {
                Ok(LeaseState::Held) if reservation.is_in_time() => return Ok(Found::Ours(reservation)),
                Ok(LeaseState::Held) => {}
                // It knows no lease: the reservation holds for its retention.
                Ok(LeaseState::Unknown) if reservation.asked.elapsed() < claim.retention => {
                    return Ok(Found::Ours(reservation));
                }
                Ok(LeaseState::Unknown) => break,
                Ok(LeaseState::Lost) => return Ok(Found::InFlight),
                Err(failure) => {
                    self.give_back(reservation.hold);
                    return Err(failure);
                }
            }
        }
        self.give_back(reservation.hold);
        Err(too_late(self.patience))
    }

    fn give_back(&self, hold: Hold) {
        let store = Arc::clone(self.store);
        tokio::spawn(
            async move { drop(store.release(hold.claim.id.principal(), hold.claim.id.key(), hold.token).await) },
        );
    }
}

/// How much longer a row is to be kept whose reservation was asked for at `asked`: its retention counts from there, and it
/// outlasts the lease of a run that lives.
pub(super) fn remaining(claim: &OwnedClaim, asked: Instant) -> Duration {
    claim.retention.saturating_sub(asked.elapsed()).max(claim.lease)
}

pub(super) fn too_late(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer to a reservation within {patience:?}"))
}
