use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{Instrument, error};

use crate::engine::model::Settled;

/// Where a transaction is while neither the engine nor the handler has it in hand.
#[derive(Debug)]
pub struct TransactionSlot<T>(Mutex<Option<T>>);

impl<T> Default for TransactionSlot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> TransactionSlot<T> {
    pub(crate) fn put(&self, transaction: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(transaction);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How a run of the work ended, its transaction in hand again.
pub(super) enum Ended<T, R> {
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

pub(super) async fn run_to_end<T, R: Send + 'static>(
    work: impl Future<Output = Settled<R>> + Send + 'static,
    slot: &TransactionSlot<T>,
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
    let Some(transaction) = slot.take() else {
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
