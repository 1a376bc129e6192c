use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::guard::OwnedClaim;
use super::{caught_of_store, within};
use crate::store::{ClaimOutcome, IdempotencyRecord, IdempotencyStore, StoreError};

/// What was found of a key; a [`ClaimOutcome`] whose record can be shared, and whose reservation can be of any kind.
#[derive(Debug)]
pub(crate) enum Reserved<G> {
    Ours(G),
    Replay(Arc<IdempotencyRecord>),
    InFlight,
    Conflict,
}

/// A question for a key that can be put again.
pub(crate) trait Ask: Sync {
    /// What is had with the key.
    type Grant: Send;

    fn ask(&self) -> impl Future<Output = Result<Reserved<Self::Grant>, StoreError>> + Send;
}

/// Asks for a reservation of the store's, for as long as `patience` lasts.
pub(crate) struct Reserve<'a> {
    pub(crate) store: &'a Arc<dyn IdempotencyStore>,
    pub(crate) claim: &'a Arc<OwnedClaim>,
    pub(crate) patience: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Reservation {
    pub(crate) token: Uuid,
    pub(crate) attempt: u32,
    /// Just before the store was asked.
    pub(crate) asked: Instant,
}

impl Ask for Reserve<'_> {
    type Grant = Reservation;

    async fn ask(&self) -> Result<Reserved<Reservation>, StoreError> {
        let asked = Instant::now();
        let mut asking = {
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            // The store itself, not the implementation for an `Arc` of it, which would box the future once more.
            Box::pin(async move { caught_of_store(async { (*store).reserve(claim.as_claim()).await }).await })
        };
        let Ok(outcome) = within(self.patience, &mut asking).await else {
            // The store may still reserve. To drop the question now would pin the key until the lease ends.
            let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
            tokio::spawn(async move {
                if let Ok(ClaimOutcome::Reserved { token, .. }) = asking.await {
                    drop(store.release(&claim.principal, &claim.key, token).await);
                }
            });
            return Err(too_late(self.patience));
        };
        Ok(match outcome? {
            ClaimOutcome::Reserved { token, attempt } => Reserved::Ours(Reservation { token, attempt, asked }),
            ClaimOutcome::Replay(record) => Reserved::Replay(Arc::new(record)),
            ClaimOutcome::InFlight => Reserved::InFlight,
            ClaimOutcome::Conflict => Reserved::Conflict,
        })
    }
}

pub(crate) fn too_late(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer to a reservation within {patience:?}"))
}
