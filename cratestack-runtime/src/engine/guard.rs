use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::lease::Lease;
use super::settle::{Settled, settle};
use super::tasks::Tasks;
use crate::store::{Claim, ClaimOutcome, IdempotencyRecord, IdempotencyStore, StoreError};

/// What a guarded request claims; the owned form of [`Claim`].
#[derive(Debug)]
pub(crate) struct OwnedClaim {
    pub(crate) principal: String,
    pub(crate) key: String,
    pub(crate) request_hash: [u8; 32],
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
}

impl OwnedClaim {
    fn as_claim(&self) -> Claim<'_> {
        Claim {
            principal: &self.principal,
            key: &self.key,
            request_hash: self.request_hash,
            lease: self.lease,
            retention: self.retention,
        }
    }
}

/// A reservation that is ours.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) claim: OwnedClaim,
    pub(crate) token: Uuid,
    pub(crate) attempt: u32,
}

/// What became of a guarded request.
#[derive(Debug)]
pub(crate) enum Answer<R> {
    /// The work ran; this is its reply.
    Ran(R),
    /// The same request had finished before.
    Replay(IdempotencyRecord),
    /// The same request is running.
    InFlight,
    /// The key belongs to another request.
    Conflict,
    /// The work ran, but past its lease, and another run took the key over: its outcome is the one that counts.
    Lost,
    /// The work panicked; the key is free again.
    Panicked,
    /// The store could not say whether the key is free, and nothing ran.
    Unavailable(StoreError),
}

/// Runs guarded work over one store.
#[derive(Debug)]
pub(crate) struct Engine {
    store: Arc<dyn IdempotencyStore>,
    tasks: Tasks,
}

impl std::fmt::Debug for dyn IdempotencyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn IdempotencyStore")
    }
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn IdempotencyStore>) -> Self {
        Self { store, tasks: Tasks::default() }
    }

    /// Reserves, runs and settles, all on a task of its own: a caller that goes away changes nothing.
    ///
    /// `work` is called once the key is reserved, and only then; it must do nothing before its future is polled, so that
    /// a panic of its is caught. `patience` bounds the wait for the store's answer to the reservation.
    pub(crate) async fn guard<R, W>(
        &self,
        claim: OwnedClaim,
        patience: Duration,
        work: impl FnOnce(&Arc<Hold>) -> W + Send + 'static,
    ) -> Answer<R>
    where
        R: Send + 'static,
        W: Future<Output = Settled<R>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let store = Arc::clone(&self.store);
        let running = self.tasks.enter();
        let life = async move {
            match reserve(&store, claim, patience).await {
                Err(not_ours) => drop(reply.send(not_ours)),
                Ok(hold) => {
                    let hold = Arc::new(hold);
                    let mut lease = Lease::new(Arc::clone(&store), Arc::clone(&hold));
                    // On a task of its own, so that a handler that blocks its thread does not stop the heartbeat here.
                    let working = tokio::spawn(work(&hold).in_current_span());
                    let settled = lease.during(working).await;
                    settle(&*store, &hold, lease, settled.ok(), reply).await;
                }
            }
            drop(running);
        };
        tokio::spawn(life.in_current_span());
        // The sender is dropped unsent only when the runtime shuts down underneath the task.
        answer
            .await
            .unwrap_or_else(|_| Answer::Unavailable(StoreError::Internal("the runtime is shutting down".into())))
    }

    /// Waits until all that runs has settled; `false` where something still ran at the deadline.
    #[allow(dead_code)]
    pub(crate) async fn drained(&self, deadline: Duration) -> bool {
        self.tasks.drained(deadline).await
    }
}

async fn reserve<R>(
    store: &Arc<dyn IdempotencyStore>,
    claim: OwnedClaim,
    patience: Duration,
) -> Result<Hold, Answer<R>> {
    let shared = Arc::clone(store);
    let mut asking = Box::pin(async move {
        let outcome = shared.reserve(claim.as_claim()).await;
        (claim, outcome)
    });
    let Ok((claim, outcome)) = tokio::time::timeout(patience, &mut asking).await else {
        // The store may still reserve. To drop the question now would pin the key until the lease ends.
        let store = Arc::clone(store);
        tokio::spawn(async move {
            if let (claim, Ok(ClaimOutcome::Reserved { token, .. })) = asking.await {
                drop(store.release(&claim.principal, &claim.key, token).await);
            }
        });
        let late = format!("no answer to a reservation within {patience:?}");
        return Err(Answer::Unavailable(StoreError::Unavailable(late)));
    };
    match outcome {
        Ok(ClaimOutcome::Reserved { token, attempt }) => Ok(Hold { claim, token, attempt }),
        Ok(ClaimOutcome::Replay(record)) => Err(Answer::Replay(record)),
        Ok(ClaimOutcome::InFlight) => Err(Answer::InFlight),
        Ok(ClaimOutcome::Conflict) => Err(Answer::Conflict),
        Err(error) => Err(Answer::Unavailable(error)),
    }
}
