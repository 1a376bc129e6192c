//! A function's body, as generated code brings it, and where it runs.
//!
//! A body that owns all that it works with is given to the engine, and ends there whatever becomes of its caller. One
//! that borrows cannot outlive the call, so it runs where it is called, while the engine keeps its key on a task of its
//! own:
//!
//! ```text
//! caller                          engine
//! calls ────────────────────────▶ has the key
//!                    the attempt ◀ asks for the body
//! runs the body                   renews the lease
//! how it ended ─────────────────▶ writes the outcome down
//! its result ◀─────────────────── answers
//!
//! goes away while the body runs   no word of how it ended will come: gives the key back
//! ```
//!
//! What the body holds is dropped before the engine learns that there will be no word, so a key that is free is one that
//! nothing runs under any more.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, error};

use super::call::FunctionCall;
use super::error::GuardError;
use super::outcome::Recorder;
use super::run::{Attempts, Ended, Run};
use crate::engine::{AttemptFuture, Disposition, Failure, Settled};
use crate::util::{catch_panic, lock, timeout};

/// A body that runs once: the engine asks for no second run where the attribute does not say `retry`.
pub fn once<X, F>(body: impl FnOnce(X) -> F) -> impl FnMut(X) -> Option<F> {
    let mut body = Some(body);
    move |run| body.take().map(|body| body(run))
}

/// A body that runs as often as it is asked to.
pub fn again<X, F>(mut body: impl FnMut(X) -> F) -> impl FnMut(X) -> Option<F> {
    move |run| Some(body(run))
}

/// How a body that stays with its caller has ended.
enum Word {
    Settled(Settled<()>),
    Panicked,
}

/// An attempt, on its way from the engine to the caller. Fields are dropped in this order.
struct Attempt {
    run: Run,
    ended: oneshot::Sender<Word>,
}

/// The deadline of a transaction whose body stays with its caller is the caller's to keep: the engine waits for so much
/// longer, and then ends the transaction from outside.
const DEADLINE_GRACE: Duration = Duration::from_millis(500);

impl<T, E> Recorder<T, E> {
    /// Calls a function whose body borrows nothing.
    pub fn owned<F>(
        self,
        call: FunctionCall,
        body: impl FnMut(Run) -> Option<F> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.run_owned(call, |run| run, body)
    }

    /// Calls a function whose body borrows, and so stays with its caller.
    pub fn borrowed<F>(
        self,
        call: FunctionCall,
        body: impl FnMut(Run) -> Option<F>,
    ) -> impl Future<Output = Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.run_borrowed(call, |run| run, body)
    }

    /// The same; the body is `given` what it runs by.
    pub(super) async fn run_owned<X, F>(
        self,
        call: FunctionCall,
        given: impl Fn(Run) -> X + Send + 'static,
        mut body: impl FnMut(X) -> Option<F> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let guarded = match call.guarded() {
            Ok(guarded) => guarded,
            Err(error) => return self.refused(error),
        };
        let (function, slot) = (guarded.name, guarded.slot.clone());
        let ran = Arc::new(Mutex::new(None));
        let result = Arc::clone(&ran);
        let attempts: Attempts = Box::new(move |run| {
            let (span, slot, ran) = (run.span.clone(), slot.clone(), Arc::clone(&ran));
            let body = body(given(run));
            let attempt = async move {
                let Some(body) = body else { return given_back() };
                let result = body.await;
                let settled = self.settled(&result, function, &slot);
                *lock(&ran) = Some(result);
                settled
            };
            Box::pin(attempt.instrument(span)) as AttemptFuture<()>
        });
        let ended = guarded.run(attempts, Duration::ZERO).await;
        let ran = lock(&result).take();
        self.told(ended, ran, GuardError::Panicked { function })
    }

    /// The same; the body is `given` what it runs by.
    pub(super) async fn run_borrowed<X, F>(
        self,
        call: FunctionCall,
        given: impl Fn(Run) -> X,
        mut body: impl FnMut(X) -> Option<F>,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let guarded = match call.guarded() {
            Ok(guarded) => guarded,
            Err(error) => return self.refused(error),
        };
        let (function, slot, deadline) = (guarded.name, guarded.slot.clone(), guarded.deadline());
        let (attempts, mut attempted) = handed_over();
        let (mut ran, mut otherwise) = (None, GuardError::Panicked { function });
        // In boxes, so that calls within calls need no more stack than others.
        let mut answering = Box::pin(guarded.run(attempts, DEADLINE_GRACE));
        let ended = loop {
            let Attempt { run, ended } = tokio::select! {
                biased;
                answer = &mut answering => break answer,
                Some(attempt) = attempted.recv() => attempt,
            };
            let outcome = {
                let span = run.span.clone();
                let body = async {
                    match body(given(run)) {
                        Some(body) => Some(body.await),
                        None => None,
                    }
                };
                let mut body = Box::pin(catch_panic(within(deadline, body)).instrument(span));
                tokio::select! {
                    biased;
                    // Before it has heard how the body ended it answers only where it has ended the run itself.
                    answer = &mut answering => break answer,
                    outcome = &mut body => outcome,
                }
            };
            let word = match outcome {
                Some(Ok(Some(result))) => {
                    let settled = self.settled(&result, function, &slot);
                    ran = Some(result);
                    Word::Settled(settled)
                }
                Some(Ok(None)) => Word::Settled(given_back()),
                Some(Err(OutOfTime)) => {
                    error!(
                        function,
                        "an idempotent function's transaction did not end within its lease and is rolled back"
                    );
                    otherwise = GuardError::TimedOut { function };
                    Word::Settled(given_back())
                }
                None => Word::Panicked,
            };
            // Where nobody listens, the answer says why.
            drop(ended.send(word));
        };
        self.told(ended, ran, otherwise)
    }

    /// The result for the caller.
    fn told(&self, ended: Result<Ended, GuardError>, ran: Option<Result<T, E>>, otherwise: GuardError) -> Result<T, E> {
        match ended {
            Ok(Ended::Ran) => ran.unwrap_or_else(|| self.refused(otherwise)),
            Ok(Ended::Replay(record)) => self.replayed(&record, otherwise.function()),
            Err(error) => self.refused(error),
        }
    }
}

/// Attempts that are made by whoever receives them.
fn handed_over() -> (Attempts, mpsc::UnboundedReceiver<Attempt>) {
    let (hand_over, attempted) = mpsc::unbounded_channel();
    let attempts = move |run| {
        let (ended, word) = oneshot::channel();
        // Where the caller has gone, so has the other end of `word`.
        drop(hand_over.send(Attempt { run, ended }));
        Box::pin(async move {
            match word.await {
                Ok(Word::Settled(settled)) => settled,
                // It has been reported where it happened.
                Ok(Word::Panicked) => resume_unwind(Box::new("the body panicked")),
                Err(_) => given_back(),
            }
        }) as AttemptFuture<()>
    };
    (Box::new(attempts), attempted)
}

/// What is left of a body that has given no result.
fn given_back() -> Settled<()> {
    Settled { disposition: Disposition::Release, reply: (), failure: Some(Failure::Deliberate) }
}

struct OutOfTime;

async fn within<T>(deadline: Option<Duration>, body: impl Future<Output = T>) -> Result<T, OutOfTime> {
    match deadline {
        Some(deadline) => timeout(deadline, body).await.map_err(|_| OutOfTime),
        None => Ok(body.await),
    }
}
