use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::guard::OwnedClaim;
use crate::store::{ClaimOutcome, IdempotencyRecord, IdempotencyStore, StoreError};

/// A [`ClaimOutcome`] whose record can be shared.
#[derive(Debug)]
pub(crate) enum Reserved {
    Ours { token: Uuid, attempt: u32 },
    Replay(Arc<IdempotencyRecord>),
    InFlight,
    Conflict,
}

/// Asks the store, for as long as `patience` lasts.
pub(crate) async fn reserve(
    store: &Arc<dyn IdempotencyStore>,
    claim: &Arc<OwnedClaim>,
    patience: Duration,
) -> Result<Reserved, StoreError> {
    let mut asking = {
        let (store, claim) = (Arc::clone(store), Arc::clone(claim));
        Box::pin(async move { store.reserve(claim.as_claim()).await })
    };
    let Ok(outcome) = tokio::time::timeout(patience, &mut asking).await else {
        // The store may still reserve. To drop the question now would pin the key until the lease ends.
        let (store, claim) = (Arc::clone(store), Arc::clone(claim));
        tokio::spawn(async move {
            if let Ok(ClaimOutcome::Reserved { token, .. }) = asking.await {
                drop(store.release(&claim.principal, &claim.key, token).await);
            }
        });
        return Err(StoreError::Unavailable(format!("no answer to a reservation within {patience:?}")));
    };
    Ok(match outcome? {
        ClaimOutcome::Reserved { token, attempt } => Reserved::Ours { token, attempt },
        ClaimOutcome::Replay(record) => Reserved::Replay(Arc::new(record)),
        ClaimOutcome::InFlight => Reserved::InFlight,
        ClaimOutcome::Conflict => Reserved::Conflict,
    })
}
