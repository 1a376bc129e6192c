use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::store::{IdempotencyStore, StoreError};

/// So few rows at a time that nobody waits for a lock of the sweep's.
const BATCH_ROWS: u32 = 250;

/// After a batch it rests for so many times as long as that took: it is in no hurry, and those who wait for the same
/// disk and processors are.
const RESTS_PER_BATCH_TIME: u32 = 7;

/// Deletes all that has expired, batch by batch, and says how much it was.
pub(crate) async fn sweep(store: &dyn IdempotencyStore) -> Result<u64, StoreError> {
    sweep_until(store, std::future::pending()).await
}

/// The same, but it ends after the batch in which it is stopped.
async fn sweep_until(store: &dyn IdempotencyStore, stop: impl Future<Output = ()>) -> Result<u64, StoreError> {
    let mut stop = pin!(stop);
    let mut swept = 0;
    loop {
        let begun = Instant::now();
        let batch = store.sweep(BATCH_ROWS).await?;
        swept += batch;
        if batch < u64::from(BATCH_ROWS) {
            return Ok(swept);
        }
        tokio::select! {
            () = &mut stop => return Ok(swept),
            () = tokio::time::sleep(begun.elapsed() * RESTS_PER_BATCH_TIME) => {}
        }
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
            let is_stopped = AtomicBool::new(false);
            let stop = async || {
                stopped.notified().await;
                is_stopped.store(true, Ordering::Relaxed);
            };
            while !is_stopped.load(Ordering::Relaxed) {
                tokio::select! {
                    () = stop() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                match sweep_until(&*store, stop()).await {
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;
    use crate::ReservationOutcome;

    /// More expires than can be swept.
    struct Endless;

    #[async_trait]
    impl IdempotencyStore for Endless {
        async fn reserve_or_fetch(
            &self,
            _: &str,
            _: &str,
            _: [u8; 32],
            _: SystemTime,
        ) -> Result<ReservationOutcome, StoreError> {
            Ok(ReservationOutcome::InFlight)
        }

        async fn complete(&self, _: &str, _: &str, _: Uuid, _: u16, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
            Ok(())
        }

        async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), StoreError> {
            Ok(())
        }

        async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(limit.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_without_an_end_is_stopped_within_a_batch() {
        let sweeper = Sweeper::start(Arc::new(Endless), Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), sweeper.stop()).await.is_ok());
    }
}
