//! The life of a request whose handler writes in the transaction that records its outcome: begin, run, commit, and again
//! where transactions were in each other's way.
//!
//! `claiming` begins a transaction that has the key, `slot` gives it to the handler and has it back, `commit` ends it and
//! finds out what became of it.

mod claiming;
mod commit;
mod slot;

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, warn};
use uuid::Uuid;

use self::claiming::{Claimed, Claiming};
use self::commit::{End, settle_unclaimed};
pub(crate) use self::slot::TransactionSlot;
use self::slot::{Ended, run_to_end};
use super::acquire::{Acquire, Acquired};
use super::guard::{Engine, answered, attendance, gone};
use crate::engine::model::{Answer, Hold, OwnedClaim, Policy, Settled, Step};
use crate::store::{Begun, Isolation, Transact};

/// What the attribute says of the transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TransactionOptions {
    pub(crate) isolation: Isolation,
    /// How often the work may run once more.
    pub(crate) retries: u32,
    /// Whether an error's writes stay.
    pub(crate) keep_all: bool,
    /// How long the work may take.
    pub(crate) deadline: Duration,
}

impl Engine {
    /// Begins a transaction, claims the key in it, runs the work, and commits what it wrote together with its outcome:
    /// all or nothing. Like [`guard`](Self::guard) on a task of its own.
    ///
    /// `work` is called once for each attempt, of which there are at most `terms.retries` after the first.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn transact<S: Transact, R, W>(
        &self,
        store: Arc<S>,
        slot: Arc<TransactionSlot<S::Transaction>>,
        claim: OwnedClaim,
        policy: Policy,
        terms: TransactionOptions,
        observe: impl Fn(Step, &Hold) + Send + Sync + 'static,
        mut work: impl FnMut(&Hold) -> W + Send + 'static,
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
        let (limits, recovery) = (Arc::clone(&self.limits), Arc::clone(&self.recovery));
        let replay_cache = Arc::clone(&self.replay_cache);
        let mut entry = self.keys.enter(&claim);
        let counted = self.tasks.enter();
        let life = async move {
            let question = Claiming { store: &store, claim: &claim, patience: policy.patience, terms };
            let acquire = Acquire { store: &*store, limits: &limits, recovery: &recovery, policy };
            let mut asked = Instant::now();
            let acquired = acquire.acquire(&mut entry, &question, gone(attended)).await;
            // Both are kept until the last run has ended: duplicates here see one run, however often it is begun anew.
            let (mut claimed, turn, _admission) = match acquired {
                Ok(Acquired::Ours(claimed, turn, admission)) => (claimed, turn, admission),
                Ok(Acquired::Replay { record, fetched }) => {
                    if fetched {
                        replay_cache.insert_fetched(witness, &record);
                    }
                    return Answer::Replay(record);
                }
                Ok(Acquired::InFlight) => return Answer::InFlight,
                Ok(Acquired::Conflict) => return Answer::Conflict,
                Ok(Acquired::Overloaded(limit)) => return Answer::Overloaded(limit),
                Err(failure) => return Answer::Unavailable(failure),
            };
            turn.run();
            let mut retries = terms.retries;
            let answer = loop {
                let Claimed { transaction, token, attempt } = claimed;
                let hold = Hold { claim: Arc::clone(&claim), token, attempt };
                observe(Step::Reserved, &hold);
                let leash = store.leash(&transaction);
                slot.put(transaction);
                let ended = run_to_end(work(&hold), &slot, terms.deadline).await;
                if matches!(ended, Ended::Kept | Ended::Stuck) {
                    store.cut(leash).await;
                }
                let (end, committed) = question.settle(ended, &hold, &observe).await;
                if let Some(outcome) = committed {
                    replay_cache.insert_recorded(witness, &hold, &outcome, asked);
                }
                let failure = match end {
                    End::Answer(answer) => break answer,
                    End::Again(failure) if retries == 0 => break Answer::RolledBack(failure),
                    End::Again(failure) => failure,
                };
                warn!(error = %failure, "an idempotent transaction was rolled back; its handler runs once more");
                asked = Instant::now();
                claimed = match question.again(terms.retries, &mut retries).await {
                    Ok(claimed) => claimed,
                    Err(answer) => break answer,
                };
            };
            drop((turn, counted));
            answer
        };
        answered(tokio::spawn(life.in_current_span())).await
    }

    /// Runs work in a transaction that nothing guards.
    pub(crate) async fn transact_unclaimed<S: Transact, R, W>(
        &self,
        store: Arc<S>,
        slot: Arc<TransactionSlot<S::Transaction>>,
        terms: TransactionOptions,
        mut work: impl FnMut() -> W + Send + 'static,
    ) -> Answer<R>
    where
        R: Send + 'static,
        W: Future<Output = Settled<R>> + Send + 'static,
    {
        let admission = match self.limits.admit() {
            Ok(admission) => admission,
            Err(limit) => return Answer::Overloaded(limit),
        };
        let counted = self.tasks.enter();
        let life = async move {
            let mut retries = terms.retries;
            let answer = loop {
                let transaction = match store.begin(None, terms.isolation).await {
                    Ok(Begun::Reserved { transaction, .. }) => transaction,
                    Ok(_) => break Answer::InFlight,
                    Err(failure) => break Answer::Unavailable(failure),
                };
                let leash = store.leash(&transaction);
                slot.put(transaction);
                let ended = run_to_end(work(), &slot, terms.deadline).await;
                if matches!(ended, Ended::Kept | Ended::Stuck) {
                    store.cut(leash).await;
                }
                match settle_unclaimed(&*store, ended, terms.keep_all).await {
                    End::Again(_) if retries > 0 => {
                        tokio::time::sleep(pause(Uuid::new_v4(), terms.retries - retries)).await;
                        retries -= 1;
                    }
                    End::Again(failure) => break Answer::RolledBack(failure),
                    End::Answer(answer) => break answer,
                }
            };
            drop((admission, counted));
            answer
        };
        answered(tokio::spawn(life.in_current_span())).await
    }
}

/// Transactions that were in each other's way should not meet again at once.
fn pause(token: Uuid, attempt: u32) -> Duration {
    let most = 10_u64 << attempt.min(6);
    Duration::from_millis(u64::from(token.as_bytes()[0]) * most / 255)
}
