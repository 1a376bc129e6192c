use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Counts what is under way, so that a shutdown can wait for it.
#[derive(Debug, Default)]
pub(super) struct TaskTracker(Arc<Running>);

#[derive(Debug, Default)]
struct Running {
    tasks: AtomicUsize,
    /// Told when there is none any more.
    idle: Notify,
}

/// One task that is under way; it has ended when this is dropped.
#[derive(Debug)]
pub(super) struct TrackedTask(Arc<Running>);

impl TaskTracker {
    pub(super) fn track(&self) -> TrackedTask {
        self.0.tasks.fetch_add(1, Ordering::SeqCst);
        TrackedTask(Arc::clone(&self.0))
    }

    /// Waits until nothing runs, for at most `limit`, and says how much still runs then.
    pub(super) async fn wait_idle(&self, limit: Duration) -> usize {
        let running = &*self.0;
        let idle = async {
            loop {
                let mut idle = pin!(running.idle.notified());
                // Before the look, so that no end is missed that comes after it.
                idle.as_mut().enable();
                if running.tasks.load(Ordering::SeqCst) == 0 {
                    return;
                }
                idle.await;
            }
        };
        // An error is the end of the wait.
        let _ = tokio::time::timeout(limit, idle).await;
        running.tasks.load(Ordering::SeqCst)
    }
}

impl Drop for TrackedTask {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_of_the_last_end() {
        let (tracker, minute) = (Arc::new(TaskTracker::default()), Duration::from_secs(60));
        assert_eq!(tracker.wait_idle(Duration::ZERO).await, 0);
        let (first, second) = (tracker.track(), tracker.track());
        assert_eq!(tracker.wait_idle(minute).await, 2);
        let waiting = tokio::spawn({
            let tracker = Arc::clone(&tracker);
            async move { tracker.wait_idle(minute).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        assert_eq!(waiting.await.unwrap(), 0);
    }
}
