use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, error, warn};
use uuid::Uuid;

use super::guard::{Answer, Engine, Hold, OwnedClaim, Policy, Step, answered, attendance};
use super::places::{Places, Seat};
use super::reserve::{Ask, Reserved, too_late};
use super::seen::Found;
use super::settle::{Failure, Settled, Verdict};
use crate::store::{Begun, CommitError, Ending, IdempotencyRecord, Isolation, StoreError, Transact};

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

/// Where a transaction is while neither the engine nor the handler has it in hand.
#[derive(Debug)]
pub struct Handover<T>(Mutex<Option<T>>);

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Handover<T> {
    pub(crate) fn put(&self, transaction: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(transaction);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        match self.seen.find(&claim) {
            Some(Found::Replay(record)) => return Answer::Replay(record),
            Some(Found::Conflict) => return Answer::Conflict,
            None => {}
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
                let end = question.settle(ended, &hold, retries > 0, &observe).await;
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

/// How a run of the work ended, its transaction in hand again.
enum Ended<T, R> {
    Settled(T, Settled<R>),
    Panicked(T),
    TimedOut(T),
    /// The handler is over, and something of it still has the transaction.
    Kept,
    /// The handler is past its deadline, and blocks its thread, so that it cannot even be dropped.
    Stuck,
}

/// How long a handler that is past its deadline may take to be dropped.
const GRACE: Duration = Duration::from_millis(250);

async fn run_to_end<T, R: Send + 'static>(
    work: impl Future<Output = Settled<R>> + Send + 'static,
    handover: &Handover<T>,
    deadline: Duration,
) -> Ended<T, R> {
    // On a task of its own, so that a panic is caught, and one that blocks its thread does not stop the clock.
    let mut working = tokio::spawn(work.in_current_span());
    let finished = tokio::time::timeout(deadline, &mut working).await;
    if finished.is_err() {
        working.abort();
        // Dropped now, or once it gives its thread back: before that, the transaction cannot be had.
        if tokio::time::timeout(GRACE, working).await.is_err() {
            error!(
                "a handler blocks its thread past its deadline; its transaction is undone. What blocks belongs into \
                 `tokio::task::spawn_blocking`"
            );
            return Ended::Stuck;
        }
    }
    let Some(transaction) = handover.take() else {
        error!(
            "a handler has ended, but what it gave its `Tx` to has not: nothing is committed. The `Tx` must not \
             outlive the handler, in a task that it spawned or in the body of its response"
        );
        return Ended::Kept;
    };
    match finished {
        Err(_) => Ended::TimedOut(transaction),
        Ok(Ok(settled)) => Ended::Settled(transaction, settled),
        Ok(Err(_)) => Ended::Panicked(transaction),
    }
}

enum End<R> {
    Answer(Answer<R>),
    /// Nothing is committed, and another run may fare better.
    Again(StoreError),
}

/// Asks for a transaction that has the key.
struct Claiming<'a, S: Transact> {
    store: &'a Arc<S>,
    claim: &'a Arc<OwnedClaim>,
    place: &'a Seat<(String, String), Run>,
    patience: Duration,
    terms: Terms,
}

struct Claimed<T> {
    transaction: T,
    token: Uuid,
    attempt: u32,
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
    async fn begin(&self, isolation: Isolation) -> Result<Reserved<Claimed<S::Transaction>>, StoreError> {
        let (store, claim) = (Arc::clone(self.store), Arc::clone(self.claim));
        let mut beginning = Beginning::new(async move { store.begin(claim.as_claim(), isolation).await });
        let Ok(begun) = tokio::time::timeout(self.patience, beginning.end()).await else {
            return Err(too_late(self.patience));
        };
        Ok(match begun? {
            Begun::Reserved { transaction, token, attempt } => Reserved::Ours(Claimed { transaction, token, attempt }),
            Begun::Replay(record) => Reserved::Replay(Arc::new(record)),
            Begun::InFlight => Reserved::InFlight,
            Begun::Conflict => Reserved::Conflict,
        })
    }

    /// Commits or rolls back what a run has done.
    async fn settle<R>(
        &self,
        ended: Ended<S::Transaction, R>,
        hold: &Hold,
        can_retry: bool,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        let (mut transaction, settled) = match ended {
            Ended::Settled(transaction, settled) => (transaction, settled),
            Ended::Panicked(transaction) => {
                self.store.rollback(transaction).await;
                observe(Step::Panicked, hold);
                return End::Answer(Answer::Panicked);
            }
            Ended::TimedOut(transaction) => {
                self.store.rollback(transaction).await;
                observe(Step::RolledBack, hold);
                return End::Answer(Answer::TimedOut);
            }
            Ended::Stuck => {
                observe(Step::RolledBack, hold);
                return End::Answer(Answer::TimedOut);
            }
            Ended::Kept => {
                observe(Step::RolledBack, hold);
                return End::Answer(Answer::Refused(StoreError::Internal("the `Tx` outlived its handler".to_owned())));
            }
        };
        let Settled { verdict, reply, failure } = settled;
        if is_transient(&**self.store, &mut transaction, failure, can_retry).await {
            self.store.rollback(transaction).await;
            observe(Step::RolledBack, hold);
            return End::Again(in_the_way());
        }
        let Verdict::Record { status, headers, body } = verdict else {
            self.store.rollback(transaction).await;
            observe(Step::Released, hold);
            return End::Answer(Answer::Ran(reply));
        };
        let keep_writes = failure.is_none() || self.terms.keep_all;
        let outcome = Outcome { status, headers: &headers, body: &body };
        let ending = outcome.ending(hold, keep_writes);
        match self.store.commit(transaction, ending).await {
            Ok(()) => {
                observe(Step::Recorded { status }, hold);
                End::Answer(Answer::Ran(reply))
            }
            Err(CommitError::Transient(failure)) => {
                observe(Step::RolledBack, hold);
                End::Again(failure)
            }
            Err(CommitError::Refused(failure)) => {
                observe(Step::RolledBack, hold);
                End::Answer(Answer::Refused(failure))
            }
            Err(CommitError::Taken) => {
                observe(Step::RolledBack, hold);
                warn!(
                    "an idempotent transaction was rolled back: its key was reserved outside of transactions meanwhile"
                );
                End::Answer(match self.begin(PLAINLY).await {
                    Ok(Reserved::Ours(free)) => {
                        self.store.rollback(free.transaction).await;
                        Answer::InFlight
                    }
                    Ok(other) => unclaimed(other),
                    Err(failure) => Answer::Unavailable(failure),
                })
            }
            Err(CommitError::Ended) => {
                error!(
                    "a handler ended the transaction that it ran in, with a statement of its own (COMMIT or ROLLBACK): its \
                     outcome is recorded apart from its effect, and a crash between the two would have lost it"
                );
                self.record_apart(hold, outcome, reply, observe).await
            }
            Err(CommitError::Unknown(failure)) => self.find_out(hold, outcome, reply, failure, observe).await,
        }
    }

    /// Records the outcome of a transaction that the handler has ended.
    async fn record_apart<R>(
        &self,
        hold: &Hold,
        outcome: Outcome<'_>,
        reply: R,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        let recorded = match self.begin(PLAINLY).await {
            Ok(Reserved::Ours(claimed)) => {
                let ending = Ending { token: claimed.token, ..outcome.ending(hold, true) };
                self.store.commit(claimed.transaction, ending).await.is_ok()
            }
            _ => false,
        };
        if recorded {
            observe(Step::Recorded { status: outcome.status }, hold);
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
        outcome: Outcome<'_>,
        reply: R,
        failure: StoreError,
        observe: &impl Fn(Step, &Hold),
    ) -> End<R> {
        warn!(error = %failure, "no answer to the commit of an idempotent transaction; asking whether it happened");
        let until = Instant::now() + self.patience;
        loop {
            match self.begin(PLAINLY).await {
                Ok(Reserved::Replay(record)) if outcome.is(&record) => {
                    observe(Step::Recorded { status: outcome.status }, hold);
                    return End::Answer(Answer::Ran(reply));
                }
                Ok(Reserved::Ours(free)) => {
                    self.store.rollback(free.transaction).await;
                    observe(Step::RolledBack, hold);
                    return End::Again(failure);
                }
                Ok(Reserved::InFlight) | Err(_) if Instant::now() < until => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(Reserved::InFlight) | Err(_) => {
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

#[derive(Clone, Copy)]
struct Outcome<'a> {
    status: u16,
    headers: &'a [u8],
    body: &'a Bytes,
}

impl<'a> Outcome<'a> {
    fn ending(self, hold: &'a Hold, keep_writes: bool) -> Ending<'a> {
        let Self { status, headers, body } = self;
        let (claim, token, attempt) = (hold.claim.as_claim(), hold.token, hold.attempt);
        Ending { claim, token, attempt, status, headers, body, keep_writes }
    }

    fn is(self, record: &IdempotencyRecord) -> bool {
        (self.status, self.headers, self.body.as_ref())
            == (record.response_status, record.response_headers.as_slice(), record.response_body.as_slice())
    }
}

/// The answer to a request that did not get its key.
fn unclaimed<G, R>(reserved: Reserved<G>) -> Answer<R> {
    match reserved {
        Reserved::Replay(record) => Answer::Replay(record),
        Reserved::Conflict => Answer::Conflict,
        Reserved::InFlight | Reserved::Ours(_) => Answer::InFlight,
    }
}

async fn is_transient<S: Transact + ?Sized>(
    store: &S,
    transaction: &mut S::Transaction,
    failure: Option<Failure>,
    can_retry: bool,
) -> bool {
    match failure {
        Some(Failure::Transient) => true,
        // Worth another run, since one was asked for; not worth to withhold the handler's own words.
        Some(Failure::Unknown) => can_retry && store.has_failed(transaction).await,
        Some(Failure::Deliberate) | None => false,
    }
}

fn in_the_way() -> StoreError {
    StoreError::Unavailable("the handler's statements were in another transaction's way".to_owned())
}

async fn settle_unclaimed<S: Transact, R>(store: &S, ended: Ended<S::Transaction, R>, keep_all: bool) -> End<R> {
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
            return End::Answer(Answer::Refused(StoreError::Internal("the `Tx` outlived its handler".to_owned())));
        }
    };
    let Settled { verdict, reply, failure } = settled;
    if is_transient(store, &mut transaction, failure, true).await {
        store.rollback(transaction).await;
        return End::Again(in_the_way());
    }
    if matches!(verdict, Verdict::Release) || (failure.is_some() && !keep_all) {
        store.rollback(transaction).await;
        return End::Answer(Answer::Ran(reply));
    }
    match store.commit_unclaimed(transaction).await {
        // Without a claim it cannot be taken, and where the handler has ended it there is nothing left to do.
        Ok(()) | Err(CommitError::Taken | CommitError::Ended) => End::Answer(Answer::Ran(reply)),
        Err(CommitError::Transient(failure)) => End::Again(failure),
        Err(CommitError::Refused(failure)) => End::Answer(Answer::Refused(failure)),
        Err(CommitError::Unknown(failure)) => End::Answer(Answer::Unknown(failure)),
    }
}

/// A beginning that nobody may drop halfway: where its caller goes away, it ends on a task of its own, and what it has
/// begun is rolled back.
struct Beginning<F: Future + Send + 'static>(Option<std::pin::Pin<Box<F>>>)
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
