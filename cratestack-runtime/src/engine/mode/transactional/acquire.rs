use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::engine::model::{Acquired, Answer, Hold, OwnedClaim};
use crate::engine::store_call::too_late;
use crate::store::{Begun, Isolation, StoreError, Transact};
use crate::util::timeout;

/// Asks for a transaction that has the key.
pub(super) struct AcquireTransaction<'a, S: Transact> {
    pub(super) store: &'a Arc<S>,
    /// `None` where nothing guards the work.
    pub(super) claim: Option<Arc<OwnedClaim>>,
    pub(super) timeout: Duration,
}

/// A transaction that is the work's.
pub(crate) struct OpenGrant<T> {
    pub(super) transaction: T,
    /// The key that it has.
    pub(super) hold: Option<Hold>,
    /// Before it was begun: the retention of its outcome begins no earlier.
    pub(super) asked: Instant,
}

impl<S: Transact> AcquireTransaction<'_, S> {
    /// Begins, for as long as `timeout`.
    pub(super) async fn begin(&self, isolation: Isolation) -> Result<Acquired<OpenGrant<S::Transaction>>, StoreError> {
        let (store, claim, asked) = (Arc::clone(self.store), self.claim.clone(), Instant::now());
        let mut beginning = Beginning::new(async move {
            let claim = claim.as_ref().map(|claim| claim.as_claim());
            store.begin(claim, isolation).await
        });
        let Ok(begun) = timeout(self.timeout, beginning.end()).await else {
            return Err(too_late(self.timeout));
        };
        Ok(match begun? {
            Begun::Reserved { transaction, token, attempt } => {
                let hold = self.claim.clone().map(|claim| Hold { claim, token, attempt });
                Acquired::Ours(OpenGrant { transaction, hold, asked })
            }
            Begun::Replay(record) => Acquired::Replay(Arc::new(record)),
            Begun::InFlight => Acquired::InFlight,
            Begun::Conflict => Acquired::Conflict,
        })
    }

    /// Begins another transaction for another run, of which `retries` are left of `max_retries`.
    pub(super) async fn begin_again<R>(
        &self,
        isolation: Isolation,
        max_retries: u32,
        retries: &mut u32,
    ) -> Result<OpenGrant<S::Transaction>, Answer<R>> {
        loop {
            tokio::time::sleep(pause(max_retries - *retries)).await;
            *retries -= 1;
            match self.begin(isolation).await.map_err(Answer::Unavailable)? {
                // Between two runs the key is free. Whoever has taken it, at another process, may give it back.
                Acquired::InFlight if *retries > 0 => warn!("between two runs of idempotent work its key was taken"),
                acquired => return acquired.ours(),
            }
        }
    }
}

/// Transactions that were in each other's way should not meet again at once.
fn pause(runs: u32) -> Duration {
    let longest_millis = 10_u64 << runs.min(6);
    Duration::from_millis(u64::from(Uuid::new_v4().as_bytes()[0]) * longest_millis / 255)
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
