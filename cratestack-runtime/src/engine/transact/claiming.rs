use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Run, Terms};
use crate::engine::guard::OwnedClaim;
use crate::engine::places::Seat;
use crate::engine::reserve::{Ask, Reserved, too_late};
use crate::engine::within;
use crate::store::{Begun, Isolation, StoreError, Transact};

/// Asks for a transaction that has the key.
pub(super) struct Claiming<'a, S: Transact> {
    pub(super) store: &'a Arc<S>,
    pub(super) claim: &'a Arc<OwnedClaim>,
    pub(super) place: &'a Seat<(String, String), Run>,
    pub(super) patience: Duration,
    pub(super) terms: Terms,
}

pub(super) struct Claimed<T> {
    pub(super) transaction: T,
    pub(super) token: Uuid,
    pub(super) attempt: u32,
}

impl<S: Transact> Ask for Claiming<'_, S> {
    type Grant = Claimed<S::Transaction>;

    async fn ask(&self) -> Result<Reserved<Self::Grant>, StoreError> {
        tokio::select! {
            biased;
            request = self.place.taken() => Ok(if request == self.claim.request_hash {
                Reserved::InFlight
            } else {
                Reserved::Conflict
            }),
            begun = self.begin(self.terms.isolation) => begun,
        }
    }
}

impl<S: Transact> Claiming<'_, S> {
    /// Begins, for as long as patience lasts.
    pub(super) async fn begin(&self, isolation: Isolation) -> Result<Reserved<Claimed<S::Transaction>>, StoreError> {
        let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
        let mut beginning = Beginning::new(async move { store.begin(claim.as_claim(), isolation).await });
        let Ok(begun) = within(self.patience, beginning.end()).await else {
            return Err(too_late(self.patience));
        };
        Ok(match begun? {
            Begun::Reserved { transaction, token, attempt } => Reserved::Ours(Claimed { transaction, token, attempt }),
            Begun::Replay(record) => Reserved::Replay(Arc::new(record)),
            Begun::InFlight => Reserved::InFlight,
            Begun::Conflict => Reserved::Conflict,
        })
    }
}

/// A beginning that nobody may drop halfway: where its caller goes away, it ends on a task of its own, and what it has
/// begun is rolled back.
struct Beginning<F: Future + Send + 'static>(Option<Pin<Box<F>>>)
where
    F::Output: Send;

impl<F: Future + Send + 'static> Beginning<F>
where
    F::Output: Send,
{
    fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }

    async fn end(&mut self) -> F::Output {
        let Some(future) = &mut self.0 else { std::future::pending().await };
        let output = future.as_mut().await;
        self.0 = None;
        output
    }
}

impl<F: Future + Send + 'static> Drop for Beginning<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        if let (Some(future), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            // Its output is dropped there, and with it the transaction.
            runtime.spawn(async move { drop(future.await) });
        }
    }
}
