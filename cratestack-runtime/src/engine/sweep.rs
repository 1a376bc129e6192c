use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::store::{IdempotencyStore, StoreError};

/// So few rows at a time that nobody waits for a lock of the sweep's.
const BATCH: u32 = 1_000;

/// Deletes all that has expired, batch by batch, and says how much it was.
pub(crate) async fn sweep(store: &dyn IdempotencyStore) -> Result<u64, StoreError> {
    let mut swept = 0;
    loop {
        let batch = store.sweep(BATCH).await?;
        swept += batch;
        if batch < u64::from(BATCH) {
            return Ok(swept);
        }
        tokio::task::yield_now().await;
    }
}

/// A background sweep, started by [`Idempotency::sweep_every`](crate::Idempotency::sweep_every). It goes on until it is
/// [stopped](Self::stop) or dropped.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::{Idempotency, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sweeper = Idempotency::new(MemoryStore::new()).sweep_every(Duration::from_secs(60));
/// // … the service runs …
/// sweeper.stop().await;
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it stops the sweep"]
pub struct Sweeper {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Sweeper {
    pub(crate) fn start(store: Arc<dyn IdempotencyStore>, interval: Duration) -> Self {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.notified() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                match sweep(&*store).await {
                    Ok(swept) => debug!(swept, "expired idempotency records deleted"),
                    Err(error) => {
                        warn!(%error, "expired idempotency records not deleted; trying again at the next turn");
                    }
                }
            }
        });
        Self { stop, task }
    }

    /// Lets the batch that is being deleted finish, and ends.
    pub async fn stop(mut self) {
        self.stop.notify_one();
        // It can only fail by a panic or with its runtime, and is over either way.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
