use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{Instrument, error, warn};
use uuid::Uuid;

use super::acquire::{Acquire, Acquired};
use super::lease::{Lease, RenewalTarget};
use super::limits::Limits;
use super::local::LocalKeys;
use super::model::{Answer, Hold, OwnedClaim, Policy, Settled, Step};
use super::replay_cache::{Hit, Lookup, ReplayCache, Witness};
use super::reserve::{Reservation, Reserve};
use super::retry::Recovery;
use super::settle::Run;
use super::tasks::Tasks;
use crate::store::{IdempotencyStore, StoreError};
use crate::util::catch_panic;

/// Runs guarded work over one store.
#[derive(Debug)]
pub(crate) struct Engine {
    store: Arc<dyn IdempotencyStore>,
    pub(super) keys: Arc<LocalKeys>,
    pub(super) limits: Arc<Limits>,
    pub(super) recovery: Arc<Recovery>,
    pub(super) tasks: Tasks,
    pub(super) replay_cache: Arc<ReplayCache>,
}

impl std::fmt::Debug for dyn IdempotencyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn IdempotencyStore")
    }
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn IdempotencyStore>) -> Self {
        Self {
            store,
            keys: Arc::default(),
            limits: Arc::default(),
            recovery: Arc::default(),
            tasks: Tasks::default(),
            replay_cache: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn IdempotencyStore> {
        &self.store
    }

    pub(crate) fn set_max_running(&self, max: usize) {
        self.limits.set_max_running(max);
    }

    pub(crate) fn set_max_pending_bytes(&self, max: u64) {
        self.limits.set_max_pending_bytes(max);
    }

    pub(crate) fn replay_cache(&self) -> &ReplayCache {
        &self.replay_cache
    }

    /// Reserves, runs and settles, all on a task of its own: a caller that goes away changes nothing.
    ///
    /// `work` is called once the key is reserved, and only then; it must do nothing before its future is polled, so that
    /// a panic of its is caught.
    pub(crate) async fn guard<R, W>(
        &self,
        claim: OwnedClaim,
        policy: Policy,
        observe: impl Fn(Step, &Hold) + Send + Sync + 'static,
        work: impl FnOnce(&Hold) -> W + Send + 'static,
    ) -> Answer<R>
    where
        R: Send + 'static,
        W: Future<Output = Settled<R>> + Send + 'static,
    {
        let witness = match self.answered_before(&claim) {
            ControlFlow::Break(answer) => return answer,
            ControlFlow::Continue(witness) => witness,
        };
        let claim = Arc::new(claim);
        let (attended, _attending) = attendance(policy);
        let (store, replay_cache) = (Arc::clone(&self.store), Arc::clone(&self.replay_cache));
        let (limits, recovery) = (Arc::clone(&self.limits), Arc::clone(&self.recovery));
        let mut entry = self.keys.enter(&claim);
        let running = self.tasks.enter();
        let life = async move {
            let question = Reserve { store: &store, claim: &claim, patience: policy.patience };
            let acquire = Acquire { store: &*store, limits: &limits, recovery: &recovery, policy };
            let acquired = acquire.acquire(&mut entry, &question, gone(attended)).await;
            match acquired {
                Ok(Acquired::Ours(Reservation { hold, asked, leased }, turn, admission)) => {
                    turn.run();
                    let target = RenewalTarget {
                        store: Arc::clone(&store),
                        recovery: Arc::clone(&recovery),
                        hold: hold.clone(),
                        asked,
                    };
                    let lease = Lease::new(target, leased);
                    observe(Step::Reserved, &hold);
                    let settled = lease.during(catch_panic(work(&hold))).await;
                    let turn = Some(turn);
                    let run = Run {
                        store,
                        hold,
                        lease,
                        observe,
                        replay_cache,
                        witness,
                        recovery,
                        turn,
                        admission,
                        asked,
                        _running: running,
                    };
                    run.settle(settled).await
                }
                Ok(Acquired::Replay { record, fetched }) => {
                    if fetched {
                        replay_cache.insert_fetched(witness, &record);
                    }
                    Answer::Replay(record)
                }
                Ok(Acquired::InFlight) => Answer::InFlight,
                Ok(Acquired::Conflict) => Answer::Conflict,
                Ok(Acquired::Overloaded(limit)) => Answer::Overloaded(limit),
                // There is a record, so the effect may have happened.
                Err(StoreError::Codec(what)) => Answer::Unavailable(StoreError::Codec(what)),
                Err(failure) if policy.run_unreserved => {
                    let _admission = match limits.admit() {
                        Ok(admission) => admission,
                        Err(limit) => return Answer::Overloaded(limit),
                    };
                    warn!(error = %failure, "idempotency key not reserved; the handler runs without protection");
                    let hold = Hold { claim, token: Uuid::nil(), attempt: 0 };
                    let ran = catch_panic(work(&hold)).await;
                    ran.map_or(Answer::Panicked, |settled| Answer::Ran(settled.reply))
                }
                Err(failure) => Answer::Unavailable(failure),
            }
        };
        answered(tokio::spawn(life.in_current_span())).await
    }

    /// What a claim comes to whose outcome this process has seen; otherwise the witness that its outcome may be kept by.
    pub(super) fn answered_before<R>(&self, claim: &OwnedClaim) -> ControlFlow<Answer<R>, Witness> {
        match self.replay_cache.find(&self.store, claim) {
            Lookup::Hit(Hit::Replay(record)) => ControlFlow::Break(Answer::Replay(record)),
            Lookup::Hit(Hit::Conflict) => ControlFlow::Break(Answer::Conflict),
            Lookup::Miss(witness) => ControlFlow::Continue(witness),
        }
    }

    /// Waits until all that runs has settled, and says how much still ran at the deadline.
    pub(crate) async fn drained(&self, deadline: Duration) -> usize {
        self.tasks.drained(deadline).await
    }
}

/// A sender that is closed once the caller is gone, and what the caller keeps until then; for those who wait.
pub(super) fn attendance(
    policy: Policy,
) -> (Option<oneshot::Sender<Infallible>>, Option<oneshot::Receiver<Infallible>>) {
    if policy.wait.is_zero() {
        return (None, None);
    }
    let (attended, attending) = oneshot::channel();
    (Some(attended), Some(attending))
}

/// Returns once the caller has gone, of those who are attended to.
pub(super) async fn gone(attended: Option<oneshot::Sender<Infallible>>) {
    match attended {
        Some(mut attended) => attended.closed().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn answered<R>(life: JoinHandle<Answer<R>>) -> Answer<R> {
    life.await.unwrap_or_else(|failure| {
        let what = if failure.is_panic() {
            error!("the life of an idempotent request panicked; its key is free again once its lease ends");
            "the store, or a subscriber, panicked"
        } else {
            "the runtime is shutting down"
        };
        Answer::Unavailable(StoreError::Internal(what.to_owned()))
    })
}
