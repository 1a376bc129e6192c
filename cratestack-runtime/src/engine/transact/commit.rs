use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::claiming::{Claiming, unclaimed};
use super::slot::Ended;
use crate::engine::acquire::Found;
use crate::engine::model::{Answer, Disposition, Failure, Hold, Outcome, Settled, Step};
use crate::store::{CommitError, Ending, IdempotencyRecord, Isolation, StoreError, Transact};

pub(super) enum End<R> {
    Answer(Answer<R>),
    /// Nothing is committed, and another run may fare better.
    Again(StoreError),
}

impl<S: Transact> Claiming<'_, S> {
    /// Commits or rolls back what a run has done; returns what was committed, too, if it is known.
    pub(super) async fn settle<R>(
        &self,
        ended: Ended<S::Transaction, R>,
        hold: &Hold,
        observe: &impl Fn(Step, &Hold),
    ) -> (End<R>, Option<Disposition>) {
        let undone = |step, answer| {
            observe(step, hold);
            (End::Answer(answer), None)
        };
        let (mut transaction, settled) = match ended {
            Ended::Settled(transaction, settled) => (transaction, settled),
            Ended::Panicked(transaction) => {
                self.store.rollback(transaction).await;
                return undone(Step::Panicked, Answer::Panicked);
            }
            Ended::TimedOut(transaction) => {
                self.store.rollback(transaction).await;
                return undone(Step::RolledBack, Answer::TimedOut);
            }
            Ended::Stuck => return undone(Step::RolledBack, Answer::TimedOut),
            Ended::Kept => return undone(Step::RolledBack, Answer::Refused(kept())),
        };
        let Settled { disposition, reply, failure } = settled;
        if is_transient(&**self.store, &mut transaction, failure).await {
            self.store.rollback(transaction).await;
            observe(Step::RolledBack, hold);
            return (End::Again(in_the_way()), None);
        }
        let Disposition::Record(outcome) = &disposition else {
            self.store.rollback(transaction).await;
            return undone(Step::Released, Answer::Ran(reply));
        };
        let keep_writes = failure.is_none() || self.terms.keep_all;
        match self.store.commit(transaction, Some(ending(outcome, hold, keep_writes))).await {
            Ok(()) => {
                observe(Step::Recorded { code: outcome.code }, hold);
                (End::Answer(Answer::Ran(reply)), Some(disposition))
            }
            Err(failure) => (self.uncommitted(failure, hold, outcome, reply, observe).await, None),
        }
    }

    async fn uncommitted<R>(
        &self,
        failure: CommitError,
        hold: &Hold,
        outcome: &Outcome,
        reply: R,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        match failure {
            CommitError::Transient(failure) => {
                observe(Step::RolledBack, hold);
                End::Again(failure)
            }
            CommitError::Refused(failure) => {
                observe(Step::RolledBack, hold);
                End::Answer(Answer::Refused(failure))
            }
            CommitError::Taken => {
                observe(Step::RolledBack, hold);
                warn!(
                    "an idempotent transaction was rolled back: its key was reserved outside of transactions meanwhile"
                );
                End::Answer(match self.begin(PLAINLY).await {
                    Ok(Found::Ours(free)) => {
                        self.store.rollback(free.transaction).await;
                        Answer::InFlight
                    }
                    Ok(other) => unclaimed(other),
                    Err(failure) => Answer::Unavailable(failure),
                })
            }
            CommitError::Ended => {
                error!(
                    "a handler ended the transaction that it ran in, with a statement of its own (COMMIT or ROLLBACK): its \
                     outcome is recorded apart from its effect, and a crash between the two would have lost it"
                );
                self.record_apart(hold, outcome, reply, observe).await
            }
            CommitError::Unknown(failure) => self.find_out(hold, outcome, reply, failure, observe).await,
        }
    }

    /// Records the outcome of a transaction that the handler has ended.
    async fn record_apart<R>(
        &self,
        hold: &Hold,
        outcome: &Outcome,
        reply: R,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        let recorded = match self.begin(PLAINLY).await {
            Ok(Found::Ours(claimed)) => {
                let ending = Ending { token: claimed.token, ..ending(outcome, hold, true) };
                self.store.commit(claimed.transaction, Some(ending)).await.is_ok()
            }
            _ => false,
        };
        if recorded {
            observe(Step::Recorded { code: outcome.code }, hold);
        } else {
            error!("the outcome of a handler that ended its transaction is not recorded: a retry runs it again");
        }
        End::Answer(Answer::Ran(reply))
    }

    /// Whether a commit has happened whose answer was lost. The store knows: the record is there, or the key is free; while
    /// the commit is still under way, the key is taken.
    async fn find_out<R>(
        &self,
        hold: &Hold,
        outcome: &Outcome,
        reply: R,
        failure: StoreError,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        warn!(error = %failure, "no answer to the commit of an idempotent transaction; asking whether it happened");
        let until = Instant::now() + self.patience;
        loop {
            match self.begin(PLAINLY).await {
                Ok(Found::Replay(record)) if is_recorded_by(outcome, &record) => {
                    observe(Step::Recorded { code: outcome.code }, hold);
                    return End::Answer(Answer::Ran(reply));
                }
                Ok(Found::Ours(free)) => {
                    self.store.rollback(free.transaction).await;
                    observe(Step::RolledBack, hold);
                    return End::Again(failure);
                }
                Ok(Found::InFlight) | Err(_) if Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(Found::InFlight) | Err(_) => {
                    return End::Answer(Answer::Unknown(failure));
                }
                Ok(other) => return End::Answer(unclaimed(other)),
            }
        }
    }
}

/// To see what is there now, where no handler is to run. A stricter level sees what was there when it began, which may be
/// before the commit in question.
const PLAINLY: Isolation = Isolation::ReadCommitted;

/// While it is unknown whether a commit has happened.
const ASK_AGAIN: Duration = Duration::from_millis(50);

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
/// A transaction that the database has given up may have been a deadlock's victim, and a reply that hides its cause cannot
/// tell that it was not. Nothing of it can be committed either way, so to free the key loses nothing, while a record would
/// answer every retry with a failure that the next run may not meet.
async fn is_transient<S: Transact + ?Sized>(
    store: &S,
    transaction: &mut S::Transaction,
    failure: Option<Failure>,
) -> bool {
    match failure {
        Some(Failure::Transient) => true,
        Some(Failure::Unknown) => {
            // A connection that does not answer is of no use to the record either.
            let has_failed = tokio::time::timeout(ANSWER, store.has_failed(transaction)).await.unwrap_or(true);
            if has_failed {
                warn!(
                    "an idempotent handler answered a 5xx that hides its cause, in a transaction that the database has given \
                     up: it is rolled back and not recorded. Return an error that implements `std::error::Error` and has \
                     the `sqlx::Error` among its sources: then only deadlocks and serialization failures are, and any other \
                     failure is recorded as the handler answered it"
                );
            }
            has_failed
        }
        Some(Failure::Deliberate) | None => false,
    }
}

/// How long a transaction may take to say whether it has been given up.
const ANSWER: Duration = Duration::from_secs(10);

fn kept() -> StoreError {
    StoreError::Internal("the `Tx` outlived its handler".to_owned())
}

fn in_the_way() -> StoreError {
    StoreError::Unavailable("the database gave the handler's transaction up".to_owned())
}

pub(super) async fn settle_unclaimed<S: Transact, R>(
    store: &S,
    ended: Ended<S::Transaction, R>,
    keep_all: bool,
) -> End<R> {
    let (mut transaction, settled) = match ended {
        Ended::Settled(transaction, settled) => (transaction, settled),
        Ended::Panicked(transaction) => {
            store.rollback(transaction).await;
            return End::Answer(Answer::Panicked);
        }
        Ended::TimedOut(transaction) => {
            store.rollback(transaction).await;
            return End::Answer(Answer::TimedOut);
        }
        Ended::Stuck => return End::Answer(Answer::TimedOut),
        Ended::Kept => {
            return End::Answer(Answer::Refused(kept()));
        }
    };
    let Settled { disposition, reply, failure } = settled;
    if is_transient(store, &mut transaction, failure).await {
        store.rollback(transaction).await;
        return End::Again(in_the_way());
    }
    if matches!(disposition, Disposition::Release) || (failure.is_some() && !keep_all) {
        store.rollback(transaction).await;
        return End::Answer(Answer::Ran(reply));
    }
    match store.commit(transaction, None).await {
        // Without a claim it cannot be taken, and where the handler has ended it there is nothing left to do.
        Ok(()) | Err(CommitError::Taken | CommitError::Ended) => End::Answer(Answer::Ran(reply)),
        Err(CommitError::Transient(failure)) => End::Again(failure),
        Err(CommitError::Refused(failure)) => End::Answer(Answer::Refused(failure)),
        Err(CommitError::Unknown(failure)) => End::Answer(Answer::Unknown(failure)),
    }
}
