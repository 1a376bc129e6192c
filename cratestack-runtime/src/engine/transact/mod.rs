//! The life of a request whose handler writes in the transaction that records its outcome: begin, run, commit, and again
//! where transactions were in each other's way.
//!
//! `claiming` begins a transaction that has the key, `handover` gives it to the handler and has it back, `commit` ends it and
//! finds out what became of it.

mod claiming;
mod commit;
mod handover;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, warn};
use uuid::Uuid;

use self::claiming::{Claimed, Claiming};
use self::commit::{End, settle_unclaimed, unclaimed};
pub(crate) use self::handover::Handover;
use self::handover::{Ended, run_to_end};
use super::guard::{Answer, Engine, Hold, OwnedClaim, Policy, Step, answered, attendance};
use super::places::Places;
use super::reserve::{Ask as _, Reserved};
use super::settle::Settled;
use crate::store::{Isolation, Transact};

/// The keys that transactions of this process have, and the requests that they run for. A duplicate of one needs no
/// connection to be told so, and may well find none: with a pool of one, the first request has it.
pub(crate) type Transactions = Places<(String, String), Run>;

/// Whether a transaction has the key.
#[derive(Debug)]
pub(crate) struct Run {
    request: watch::Sender<Option<[u8; 32]>>,
}

impl Default for Run {
    fn default() -> Self {
        Self { request: watch::Sender::new(None) }
    }
}

impl Run {
    /// Waits until a transaction has the key, and says for which request.
    async fn taken(&self) -> [u8; 32] {
        let mut request = self.request.subscribe();
        // The sender is this very place, so the wait can only end well.
        let taken = request.wait_for(Option::is_some).await.ok().and_then(|request| *request);
        taken.unwrap_or_default()
    }

    fn take(&self, request: [u8; 32]) -> Running<'_> {
        self.request.send_replace(Some(request));
        Running(self)
    }
}

/// A run that has the key of its place, until this is dropped.
struct Running<'a>(&'a Run);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.request.send_replace(None);
    }
}

/// What the attribute says of the transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
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
        handover: Arc<Handover<S::Transaction>>,
        claim: OwnedClaim,
        policy: Policy,
        terms: Terms,
        observe: impl Fn(Step, &Hold) + Send + Sync + 'static,
        mut work: impl FnMut(&Hold) -> W + Send + 'static,
    ) -> Answer<R>
    where
        R: Send + 'static,
        W: Future<Output = Settled<R>> + Send + 'static,
    {
        if let Some(answer) = self.answered_before(&claim) {
            return answer;
        }
        let claim = Arc::new(claim);
        let (mut attended, _attending) = attendance(policy);
        let rooms = Arc::clone(&self.rooms);
        let (seen, plain) = (Arc::clone(&self.seen), Arc::clone(self.store()));
        let place = self.transactions.enter((claim.principal.clone(), claim.key.clone()));
        let counted = self.tasks.enter();
        let life = async move {
            let question = Claiming { store: &store, claim: &claim, place: &place, patience: policy.patience, terms };
            let mut retries = terms.retries;
            let answer = loop {
                let asked = Instant::now();
                let reserved = match &mut attended {
                    None => question.ask().await,
                    Some(caller) => rooms.wait(&*store, &claim, policy.wait, &question, caller.closed()).await,
                };
                let Claimed { transaction, token, attempt } = match reserved {
                    Ok(Reserved::Ours(claimed)) => claimed,
                    // Between two runs a duplicate may have claimed the key, or one that was given up while it did: that
                    // one will not run.
                    Ok(Reserved::InFlight) if (1..terms.retries).contains(&retries) => {
                        tokio::time::sleep(pause(Uuid::new_v4(), terms.retries - retries)).await;
                        retries -= 1;
                        continue;
                    }
                    Ok(other) => {
                        if let Reserved::Replay(record) = &other {
                            seen.keep_told(&plain, record);
                        }
                        break unclaimed(other);
                    }
                    Err(failure) => break Answer::Unavailable(failure),
                };
                let hold = Hold { claim: Arc::clone(&claim), token, attempt };
                let run = place.take(claim.request_hash);
                observe(Step::Reserved, &hold);
                let leash = store.leash(&transaction);
                handover.put(transaction);
                let ended = run_to_end(work(&hold), &handover, terms.deadline).await;
                if matches!(ended, Ended::Kept | Ended::Stuck) {
                    store.cut(leash).await;
                }
                let (end, committed) = question.settle(ended, &hold, &observe).await;
                if let Some(outcome) = committed {
                    seen.keep_recorded(&plain, &hold, &outcome, asked);
                }
                drop(run);
                rooms.knock(&claim);
                match end {
                    End::Answer(answer) => break answer,
                    End::Again(failure) if retries == 0 => break Answer::RolledBack(failure),
                    End::Again(failure) => {
                        warn!(error = %failure, "an idempotent transaction was rolled back; its handler runs once more");
                        tokio::time::sleep(pause(token, terms.retries - retries)).await;
                        retries -= 1;
                    }
                }
            };
            drop(counted);
            answer
        };
        answered(tokio::spawn(life.in_current_span())).await
    }

    /// Runs work in a transaction that nothing guards.
    pub(crate) async fn transact_unclaimed<S: Transact, R, W>(
        &self,
        store: Arc<S>,
        handover: Arc<Handover<S::Transaction>>,
        terms: Terms,
        mut work: impl FnMut() -> W + Send + 'static,
    ) -> Answer<R>
    where
        R: Send + 'static,
        W: Future<Output = Settled<R>> + Send + 'static,
    {
        let counted = self.tasks.enter();
        let life = async move {
            let mut retries = terms.retries;
            let answer = loop {
                let transaction = match store.begin_unclaimed(terms.isolation).await {
                    Ok(transaction) => transaction,
                    Err(failure) => break Answer::Unavailable(failure),
                };
                let leash = store.leash(&transaction);
                handover.put(transaction);
                let ended = run_to_end(work(), &handover, terms.deadline).await;
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
            drop(counted);
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
