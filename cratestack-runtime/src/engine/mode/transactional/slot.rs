use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tracing::{Instrument, error};

use crate::engine::model::Settled;
use crate::util::lock;

/// Where a transaction is while neither the engine nor the work has it in hand.
#[derive(Debug)]
pub struct TransactionSlot<T>(Mutex<Option<T>>);

impl<T> Default for TransactionSlot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> TransactionSlot<T> {
    pub(crate) fn put(&self, transaction: T) {
        *lock(&self.0) = Some(transaction);
    }

    pub(crate) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

/// How a run of the work ended, its transaction in hand again.
pub(super) enum RunEnd<T, R> {
    Settled(T, Settled<R>),
    Panicked(T),
    TimedOut(T),
    /// The work is over, and something of it still has the transaction.
    Kept,
    /// The work is past its time, and blocks its thread, so that it cannot even be dropped.
    Stuck,
}

/// How long work that is past its time may take to be dropped.
const ABORT_TIMEOUT: Duration = Duration::from_millis(250);

pub(super) async fn run_to_end<T, R: Send + 'static>(
    work: impl Future<Output = Settled<R>> + Send + 'static,
    slot: &TransactionSlot<T>,
    limit: Duration,
) -> RunEnd<T, R> {
    // On a task of its own, so that a panic is caught, and work that blocks its thread does not stop the clock.
    let mut working = tokio::spawn(work.in_current_span());
    let finished = tokio::time::timeout(limit, &mut working).await;
    if finished.is_err() {
        working.abort();
        // It is dropped now, or once it gives its thread back: before that, the transaction cannot be had.
        if tokio::time::timeout(ABORT_TIMEOUT, working).await.is_err() {
            error!(
                "idempotent work blocks its thread past the time that its transaction has; the transaction is undone. What \
                 blocks belongs into `tokio::task::spawn_blocking`"
            );
            return RunEnd::Stuck;
        }
    }
    let Some(transaction) = slot.take() else {
        error!(
            "idempotent work has ended, but what it gave its transaction to has not: nothing is committed. The transaction \
             must not outlive the work, in a task that it spawned or in the body of its reply"
        );
        return RunEnd::Kept;
    };
    match finished {
        Err(_) => RunEnd::TimedOut(transaction),
        Ok(Ok(settled)) => RunEnd::Settled(transaction, settled),
        Ok(Err(_)) => RunEnd::Panicked(transaction),
    }
}
