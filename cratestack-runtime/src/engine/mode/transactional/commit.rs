//! The end of a transaction: it is rolled back, or its outcome is recorded and committed with what the work wrote; and
//! where that went wrong, what became of it.
//!
//! ```text
//! engine                   store                    another process, the same key
//! record and commit ─────▶ committed
//!            ◀──────────── the answer is lost
//! begins anew ───────────▶ taken: the commit is still under way
//! begins anew ───────────▶ the record is there     ▶ replays it
//!                          or the key is free      ▶ may have it: here, the work runs once more
//!
//!                          no record, no writes     reserves without a transaction, which does not know of this one
//! record and commit ─────▶ the key is taken: rolled back
//! ```
//!
//! Work that ends its transaction with a statement of its own has its outcome recorded by another one. Only what the
//! answer to the run's own commit says is kept for replays.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::acquire::AcquireTransaction;
use super::slot::RunEnd;
use crate::engine::life::Execution;
use crate::engine::model::{
    Acquired, Answer, Disposition, Failure, Hold, Outcome, Settled, TransactionOptions, Transition,
};
use crate::store::{CommitError, Ending, IdempotencyRecord, Isolation, StoreError, Transact};

/// One run whose transaction is to be ended.
pub(super) struct CommitRun<'a, S: Transact, O> {
    pub(super) acquire: &'a AcquireTransaction<'a, S>,
    pub(super) options: TransactionOptions,
    /// `None` where nothing guards the work.
    pub(super) hold: Option<&'a Hold>,
    pub(super) asked: Instant,
    pub(super) execution: &'a Execution<O>,
}

pub(super) enum Conclusion<R> {
    Answer(Answer<R>),
    /// Nothing is committed, and another run may fare better.
    Again(StoreError),
}

/// To see what is there now, where no work is to run. A stricter level sees what was there when it began, which may be
/// before the commit in question.
const LOOK_ISOLATION: Isolation = Isolation::ReadCommitted;

/// The pause between two looks while it is unknown whether a commit has happened.
const COMMIT_POLL: Duration = Duration::from_millis(50);

/// How long a transaction may take to say whether it has been given up.
const HAS_FAILED_TIMEOUT: Duration = Duration::from_secs(10);

impl<S: Transact, O: Fn(Transition, &Hold)> CommitRun<'_, S, O> {
    /// Commits or rolls back what a run has done.
    pub(super) async fn conclude<R>(&self, end: RunEnd<S::Transaction, R>) -> Conclusion<R> {
        let store = &**self.acquire.store;
        let (mut transaction, settled) = match end {
            RunEnd::Settled(transaction, settled) => (transaction, settled),
            RunEnd::Panicked(transaction) => {
                store.rollback(transaction).await;
                return self.undone(Transition::Panicked, Answer::Panicked);
            }
            RunEnd::TimedOut(transaction) => {
                store.rollback(transaction).await;
                return self.undone(Transition::RolledBack, Answer::TimedOut);
            }
            RunEnd::Stuck => return self.undone(Transition::RolledBack, Answer::TimedOut),
            RunEnd::Kept => {
                let kept = StoreError::Internal("the transaction outlived its work".to_owned());
                return self.undone(Transition::RolledBack, Answer::Refused(kept));
            }
        };
        let Settled { disposition, reply, failure } = settled;
        if is_transient(store, &mut transaction, failure).await {
            store.rollback(transaction).await;
            let in_the_way = "the database gave the transaction of the work up".to_owned();
            return self.again(StoreError::Unavailable(in_the_way));
        }
        let keep_writes = failure.is_none() || self.options.keep_all;
        let outcome = match disposition {
            // Without a key there is no record, which would be committed without the writes.
            Disposition::Record(outcome) if keep_writes || self.hold.is_some() => outcome,
            Disposition::Record(_) | Disposition::Release => {
                store.rollback(transaction).await;
                return self.undone(Transition::Released, Answer::Ran(reply));
            }
        };
        let ending = self.hold.map(|hold| ending(&outcome, hold, keep_writes));
        match store.commit(transaction, ending).await {
            Ok(()) => {
                if let Some(hold) = self.hold {
                    self.execution.recorded(hold, &outcome, Some(self.asked));
                }
                Conclusion::Answer(Answer::Ran(reply))
            }
            Err(failure) => self.uncommitted(failure, &outcome, reply).await,
        }
    }

    async fn uncommitted<R>(&self, failure: CommitError, outcome: &Outcome, reply: R) -> Conclusion<R> {
        match (failure, self.hold) {
            (CommitError::Transient(failure), _) => self.again(failure),
            (CommitError::Refused(failure), _) => self.undone(Transition::RolledBack, Answer::Refused(failure)),
            // There was no key to be taken; and where the work has ended its transaction, there is nothing left to do.
            (CommitError::Taken | CommitError::Ended, None) => Conclusion::Answer(Answer::Ran(reply)),
            (CommitError::Unknown(failure), None) => Conclusion::Answer(Answer::Unknown(failure)),
            (CommitError::Taken, Some(_)) => {
                warn!(
                    "an idempotent transaction was rolled back: its key was reserved outside of transactions meanwhile"
                );
                self.execution.observe(Transition::RolledBack, self.hold);
                Conclusion::Answer(match self.acquire.begin(LOOK_ISOLATION).await.map(Acquired::ours) {
                    Ok(Ok(free)) => {
                        self.acquire.store.rollback(free.transaction).await;
                        Answer::InFlight
                    }
                    Ok(Err(answer)) => answer,
                    Err(failure) => Answer::Unavailable(failure),
                })
            }
            (CommitError::Ended, Some(hold)) => {
                error!(
                    "idempotent work ended the transaction that it ran in, with a statement of its own (COMMIT or ROLLBACK): \
                     its outcome is recorded apart from its effect, and a crash between the two would have lost it"
                );
                self.record_apart(hold, outcome, reply).await
            }
            (CommitError::Unknown(failure), Some(hold)) => self.find_out(hold, outcome, reply, failure).await,
        }
    }

    /// Records the outcome of a transaction that the work has ended.
    async fn record_apart<R>(&self, hold: &Hold, outcome: &Outcome, reply: R) -> Conclusion<R> {
        let recorded = match self.acquire.begin(LOOK_ISOLATION).await {
            Ok(Acquired::Ours(grant)) => {
                let token = grant.hold.map_or(hold.token, |hold| hold.token);
                let ending = Ending { token, ..ending(outcome, hold, true) };
                self.acquire.store.commit(grant.transaction, Some(ending)).await.is_ok()
            }
            _ => false,
        };
        if recorded {
            self.execution.recorded(hold, outcome, None);
        } else {
            error!("the outcome of work that ended its transaction is not recorded: a retry runs it again");
        }
        Conclusion::Answer(Answer::Ran(reply))
    }

    /// Whether a commit has happened whose answer was lost. The store knows: the record is there, or the key is free;
    /// while the commit is still under way, the key is taken.
    async fn find_out<R>(&self, hold: &Hold, outcome: &Outcome, reply: R, failure: StoreError) -> Conclusion<R> {
        warn!(error = %failure, "no answer to the commit of an idempotent transaction; asking whether it happened");
        let until = Instant::now() + self.acquire.timeout;
        loop {
            match self.acquire.begin(LOOK_ISOLATION).await {
                Ok(Acquired::Replay(record)) if is_recorded_by(outcome, &record) => {
                    self.execution.recorded(hold, outcome, None);
                    return Conclusion::Answer(Answer::Ran(reply));
                }
                Ok(Acquired::Ours(free)) => {
                    self.acquire.store.rollback(free.transaction).await;
                    return self.again(failure);
                }
                Ok(Acquired::InFlight) | Err(_) if Instant::now() < until => {
                    tokio::time::sleep(COMMIT_POLL).await;
                }
                Ok(Acquired::InFlight) | Err(_) => return Conclusion::Answer(Answer::Unknown(failure)),
                Ok(Acquired::Replay(record)) => return Conclusion::Answer(Answer::Replay(record)),
                Ok(Acquired::Conflict) => return Conclusion::Answer(Answer::Conflict),
            }
        }
    }

    fn undone<R>(&self, transition: Transition, answer: Answer<R>) -> Conclusion<R> {
        self.execution.observe(transition, self.hold);
        Conclusion::Answer(answer)
    }

    fn again<R>(&self, failure: StoreError) -> Conclusion<R> {
        self.execution.observe(Transition::RolledBack, self.hold);
        Conclusion::Again(failure)
    }
}

fn ending<'a>(outcome: &'a Outcome, hold: &'a Hold, keep_writes: bool) -> Ending<'a> {
    let Outcome { code: status, metadata: headers, body } = outcome;
    let (claim, token, attempt) = (hold.claim.as_claim(), hold.token, hold.attempt);
    Ending { claim, token, attempt, status: *status, headers, body, keep_writes }
}

fn is_recorded_by(outcome: &Outcome, record: &IdempotencyRecord) -> bool {
    let Outcome { code, metadata, body } = outcome;
    (*code, metadata, body.as_ref())
        == (record.response_status, &record.response_headers, record.response_body.as_slice())
}

/// Whether the run is to be undone and its key freed, whatever its reply says.
///
/// A transaction that the database has given up may have been a deadlock's victim, and a reply that hides its cause
/// cannot tell that it was not. Nothing of it can be committed either way, so to free the key loses nothing, while a
/// record would answer every retry with a failure that the next run may not meet.
async fn is_transient<S: Transact + ?Sized>(
    store: &S,
    transaction: &mut S::Transaction,
    failure: Option<Failure>,
) -> bool {
    match failure {
        Some(Failure::Transient) => true,
        Some(Failure::Unknown { remedy }) => {
            // A connection that does not answer is of no use to the record either.
            let answer = tokio::time::timeout(HAS_FAILED_TIMEOUT, store.has_failed(transaction)).await;
            let has_failed = answer.unwrap_or(true);
            if has_failed {
                warn!(
                    remedy,
                    "idempotent work failed without telling why, in a transaction that the database has given up: it is \
                     rolled back and not recorded. Of failures that tell their cause, only deadlocks and serialization \
                     failures are"
                );
            }
            has_failed
        }
        Some(Failure::Deliberate) | None => false,
    }
}
