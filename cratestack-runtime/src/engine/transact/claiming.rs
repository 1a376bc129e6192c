use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use super::{TransactionOptions, pause};
use crate::engine::acquire::{Ask, Found};
use crate::engine::model::{Answer, OwnedClaim};
use crate::engine::reserve::too_late;
use crate::store::{Begun, Isolation, StoreError, Transact};
use crate::util::timeout;

/// Asks for a transaction that has the key.
pub(super) struct Claiming<'a, S: Transact> {
    pub(super) store: &'a Arc<S>,
    pub(super) claim: &'a Arc<OwnedClaim>,
    pub(super) patience: Duration,
    pub(super) terms: TransactionOptions,
}

pub(super) struct Claimed<T> {
    pub(super) transaction: T,
    pub(super) token: Uuid,
    pub(super) attempt: u32,
}

impl<S: Transact> Ask for Claiming<'_, S> {
    type Grant = Claimed<S::Transaction>;

    async fn ask(&self) -> Result<Found<Self::Grant>, StoreError> {
        self.begin(self.terms.isolation).await
    }
}

impl<S: Transact> Claiming<'_, S> {
    /// Another transaction for another run, of which `retries` are left.
    pub(super) async fn again<R>(&self, most: u32, retries: &mut u32) -> Result<Claimed<S::Transaction>, Answer<R>> {
        loop {
            tokio::time::sleep(pause(Uuid::new_v4(), most - *retries)).await;
            *retries -= 1;
            match self.ask().await {
                Ok(Found::Ours(claimed)) => return Ok(claimed),
                // Between two runs another process may have claimed the key, whose transaction may also be undone.
                Ok(Found::InFlight) if *retries > 0 => {
                    warn!("between two runs of an idempotent handler its key was taken");
                }
                Ok(other) => return Err(unclaimed(other)),
                Err(failure) => return Err(Answer::Unavailable(failure)),
            }
        }
    }

    /// Begins, for as long as patience lasts.
    pub(super) async fn begin(&self, isolation: Isolation) -> Result<Found<Claimed<S::Transaction>>, StoreError> {
        let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
        let mut beginning = Beginning::new(async move { store.begin(Some(claim.as_claim()), isolation).await });
        let Ok(begun) = timeout(self.patience, beginning.end()).await else {
            return Err(too_late(self.patience));
        };
        Ok(match begun? {
            Begun::Reserved { transaction, token, attempt } => Found::Ours(Claimed { transaction, token, attempt }),
            Begun::Replay(record) => Found::Replay(Arc::new(record)),
            Begun::InFlight => Found::InFlight,
            Begun::Conflict => Found::Conflict,
        })
    }
}

/// The answer to a request that did not get its key.
pub(super) fn unclaimed<G, R>(found: Found<G>) -> Answer<R> {
    match found {
        Found::Replay(record) => Answer::Replay(record),
        Found::Conflict => Answer::Conflict,
        Found::InFlight | Found::Ours(_) => Answer::InFlight,
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
