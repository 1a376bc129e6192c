//! The life of one piece of work, whatever its mode and whichever door it came in by.
//!
//! ```text
//! caller          task of its own
//! cache ────────▶                      the outcome is in memory: that is the answer
//! enters its key                       it hears of what others in this process learn of the key from here on
//! waits           turn, admission      one of all that ask for the key asks; what is refused has not begun
//!                 the store is asked   the mode: a reservation, or a transaction that has the key
//!                 the work runs        the mode, which
//!                 the outcome          concludes: it writes or commits, tells of it, has it kept for replay
//! answer ◀─────── turn                 kept until the outcome is written; a key that is given back is free at once
//! ```
//!
//! A caller that goes away ends its own wait for another's run, and changes nothing else, because of the task. Nothing
//! here depends on the mode or on the door: a new mode implements [`Mode`], and a new door calls [`Engine::run`].

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tracing::{Instrument, error, warn};
use uuid::Uuid;

use super::limits::{Admission, Limits};
use super::local::keys::{KeyTurn, LocalKeys};
use super::local::replay_cache::{Hit, Lookup, ReplayCache, Witness};
use super::local::single_flight::{Acquisition, SingleFlight};
use super::model::{Acquired, Answer, Hold, Outcome, OwnedClaim, Policy, Transition};
use super::retry::Recovery;
use super::task_tracker::{TaskTracker, TrackedTask};
use crate::store::{IdempotencyRecord, IdempotencyStore, StoreError};

/// How a key is had, and how the outcome of the work `F` is written under it. `R` is the work's reply.
pub(crate) trait Mode<F, R>: Send + Sync + 'static {
    /// What is had with the key, and what the work runs by.
    type Grant: Send + 'static;

    /// Asks the store for the key, once. Without a claim nothing guards the work, and the grant is had without a key.
    fn acquire(
        &self,
        claim: Option<&Arc<OwnedClaim>>,
        policy: Policy,
    ) -> impl Future<Output = Result<Acquired<Self::Grant>, StoreError>> + Send;

    /// What the work can run by although the store could not say who has the key; `None` where it needs the store.
    fn unreserved(&self, hold: Option<Hold>) -> Option<Self::Grant>;

    /// Runs the work and concludes it. Until its outcome is written, `execution` is not let go of.
    fn run(
        self,
        grant: Self::Grant,
        execution: Execution<impl Fn(Transition, &Hold) + Send + Sync + 'static>,
        work: F,
    ) -> impl Future<Output = Answer<R>> + Send;
}

/// Runs work over one store. All clones of a handle share one.
#[derive(Debug)]
pub(crate) struct Engine {
    store: Arc<dyn IdempotencyStore>,
    /// The same, for whoever knows its type.
    any_store: Arc<dyn Any + Send + Sync>,
    keys: Arc<LocalKeys>,
    limits: Arc<Limits>,
    recovery: Arc<Recovery>,
    tasks: TaskTracker,
    replay_cache: Arc<ReplayCache>,
}

impl std::fmt::Debug for dyn IdempotencyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn IdempotencyStore")
    }
}

impl Engine {
    pub(crate) fn new(store: Arc<impl IdempotencyStore>) -> Self {
        Self {
            any_store: Arc::clone(&store) as Arc<dyn Any + Send + Sync>,
            store,
            keys: Arc::default(),
            limits: Arc::default(),
            recovery: Arc::default(),
            tasks: TaskTracker::default(),
            replay_cache: Arc::default(),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn IdempotencyStore> {
        &self.store
    }

    pub(crate) fn any_store(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.any_store
    }

    pub(crate) fn set_max_running(&self, max: usize) {
        self.limits.set_max_running(max);
    }

    pub(crate) fn set_max_pending_bytes(&self, max: u64) {
        self.limits.set_max_pending_bytes(max);
    }

    pub(super) fn recovery(&self) -> &Arc<Recovery> {
        &self.recovery
    }

    pub(crate) fn replay_cache(&self) -> &ReplayCache {
        &self.replay_cache
    }

    /// Records were removed from the store: of outcomes that were asked for before, none is told to whoever comes now.
    pub(crate) fn has_removed(&self) {
        self.replay_cache.end_session();
        self.keys.outdate_questions();
    }

    /// Waits until all that is under way has ended, for at most `limit`, and says how much has not by then.
    pub(crate) async fn wait_idle(&self, limit: Duration) -> usize {
        self.tasks.wait_idle(limit).await
    }

    /// Has the key, runs the work and writes its outcome down, all of it as the mode does that; or says who has the
    /// key.
    ///
    /// The work is called only once the key is had. It must do nothing before its future is polled, so that a panic of
    /// its is caught. Without a claim it is bounded and counted like any other work, but nothing guards it.
    ///
    /// All begins with the call, within a runtime, on a task of its own; what is returned waits for the answer.
    pub(crate) fn run<M, F, R, O>(
        &self,
        mode: M,
        claim: Option<OwnedClaim>,
        policy: Policy,
        observe: O,
        work: F,
    ) -> Answering<R>
    where
        M: Mode<F, R>,
        F: Send + 'static,
        R: Send + 'static,
        O: Fn(Transition, &Hold) + Send + Sync + 'static,
    {
        let witness = match claim.as_ref().map(|claim| self.replay_cache.find(&self.store, claim)) {
            Some(Lookup::Hit(Hit::Replay(record))) => return Answering::Known(Some(Answer::Replay(record))),
            Some(Lookup::Hit(Hit::Conflict)) => return Answering::Known(Some(Answer::Conflict)),
            Some(Lookup::Miss(witness)) => witness,
            None => Witness::default(),
        };
        let claim = claim.map(Arc::new);
        let (caller, present) = caller_presence(policy);
        let (store, replay_cache) = (Arc::clone(&self.store), Arc::clone(&self.replay_cache));
        let (limits, recovery) = (Arc::clone(&self.limits), Arc::clone(&self.recovery));
        let mut entry = claim.as_ref().map(|claim| self.keys.enter(claim));
        let task = self.tasks.track();
        let life = async move {
            let flight = SingleFlight { store: &*store, limits: &limits, recovery: &recovery, policy };
            let ask = async || {
                let acquired = mode.acquire(claim.as_ref(), policy).await;
                if let Ok(Acquired::Replay(record)) = &acquired {
                    replay_cache.insert_fetched(witness, record);
                }
                acquired
            };
            let acquired = match &mut entry {
                Some(entry) => flight.acquire(entry, ask, gone(caller)).await,
                None => flight.acquire_alone(ask).await,
            };
            let Acquisition { grant, turn, admission } = match acquired {
                Ok(acquisition) => acquisition,
                // A damaged record says that the work may have run before.
                Err(Answer::Unavailable(failure))
                    if policy.run_unreserved && !matches!(failure, StoreError::Codec(_)) =>
                {
                    let hold = claim.map(|claim| Hold { claim, token: Uuid::nil(), attempt: 0 });
                    let Some(grant) = mode.unreserved(hold) else { return Answer::Unavailable(failure) };
                    let admission = match limits.admit() {
                        Ok(admission) => admission,
                        Err(limit) => return Answer::Overloaded(limit),
                    };
                    warn!(error = %failure, "idempotency key not reserved; the work runs without protection");
                    Acquisition { grant, turn: None, admission }
                }
                Err(answer) => return answer,
            };
            if let Some(turn) = &turn {
                turn.set_running();
            }
            let execution = Execution { policy, turn, admission, observe, replay_cache, witness, _task: task };
            mode.run(grant, execution, work).await
        };
        Answering::Running { life: tokio::spawn(life.in_current_span()), _present: present }
    }
}

/// What its caller waits for. It has a name, so that a door's own future need not be boxed to have one.
pub(crate) enum Answering<R> {
    /// It is known already; `None` once it was told.
    Known(Option<Answer<R>>),
    Running {
        life: JoinHandle<Answer<R>>,
        /// The caller is there until this is dropped.
        _present: Option<oneshot::Receiver<Infallible>>,
    },
}

impl<R> Unpin for Answering<R> {}

impl<R> Future for Answering<R> {
    type Output = Answer<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        match self.get_mut() {
            Self::Known(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Self::Running { life, .. } => {
                Pin::new(life).poll(cx).map(|answer| answer.unwrap_or_else(|failure| broke_down(&failure)))
            }
        }
    }
}

/// What a piece of work occupies in its process until its outcome is written, and what a mode tells of it.
pub(crate) struct Execution<O> {
    policy: Policy,
    /// `None` once the key is free in this process.
    turn: Option<KeyTurn>,
    admission: Admission,
    observe: O,
    replay_cache: Arc<ReplayCache>,
    witness: Witness,
    /// Counted until it ends.
    _task: TrackedTask,
}

impl<O: Fn(Transition, &Hold)> Execution<O> {
    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// Tells whoever watches of a transition. Work that nothing guards makes none.
    pub(super) fn observe(&self, transition: Transition, hold: Option<&Hold>) {
        if let Some(hold) = hold {
            (self.observe)(transition, hold);
        }
    }

    /// The outcome is recorded. Where the store has confirmed that, replays of it need not ask the store from now on;
    /// the claim was `asked` for then.
    pub(super) fn recorded(&self, hold: &Hold, outcome: &Outcome, asked: Option<Instant>) {
        (self.observe)(Transition::Recorded { code: outcome.code }, hold);
        if let Some(asked) = asked {
            self.replay_cache.insert_recorded(self.witness, &hold.claim, outcome, asked);
        }
    }

    /// The work has ended. Another piece may run, and the outcome takes so many bytes until it is written.
    pub(super) fn has_run(&mut self, bytes: usize) {
        self.admission.keep(bytes);
    }

    /// The outcome waits to be written, and duplicates in this process are answered from it.
    pub(super) fn tell_here(&self, record: IdempotencyRecord) {
        if let Some(turn) = &self.turn {
            turn.set_pending(Arc::new(record));
        }
    }

    /// Duplicates in this process ask the store.
    pub(super) fn free_key(&mut self) {
        self.turn = None;
    }
}

/// A sender that is closed once the caller has gone, and the receiver that the caller keeps until then. Only callers
/// that wait have one.
fn caller_presence(policy: Policy) -> (Option<oneshot::Sender<Infallible>>, Option<oneshot::Receiver<Infallible>>) {
    if policy.wait.is_zero() {
        return (None, None);
    }
    let (caller, present) = oneshot::channel();
    (Some(caller), Some(present))
}

/// Returns once the caller has gone; never, where that is not looked at.
async fn gone(caller: Option<oneshot::Sender<Infallible>>) {
    match caller {
        Some(mut caller) => caller.closed().await,
        None => std::future::pending().await,
    }
}

fn broke_down<R>(failure: &JoinError) -> Answer<R> {
    let what = if failure.is_panic() {
        error!(
            "the life of an idempotent piece of work panicked; its key is free again once its lease, or its transaction, ends"
        );
        "the store, or a subscriber, panicked"
    } else {
        "the runtime is shutting down"
    };
    Answer::Unavailable(StoreError::Internal(what.to_owned()))
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
