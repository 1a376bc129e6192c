use std::time::Duration;

use tokio::sync::watch;

/// Counts what is under way, so that a shutdown can wait for it.
#[derive(Debug)]
pub(super) struct TaskTracker {
    running: watch::Sender<usize>,
}

impl Default for TaskTracker {
    fn default() -> Self {
        Self { running: watch::Sender::new(0) }
    }
}

/// One task that is under way; it has ended when this is dropped.
#[derive(Debug)]
pub(super) struct TrackedTask {
    running: watch::Sender<usize>,
}

impl TaskTracker {
    pub(super) fn track(&self) -> TrackedTask {
        self.running.send_modify(|running| *running += 1);
        TrackedTask { running: self.running.clone() }
    }

    /// Waits until nothing runs, for at most `limit`, and says how much still runs then.
    pub(super) async fn wait_idle(&self, limit: Duration) -> usize {
        let mut running = self.running.subscribe();
        // The sender is ours, so the only error is that of the timeout.
        let _ = tokio::time::timeout(limit, running.wait_for(|running| *running == 0)).await;
        *self.running.borrow()
    }
}

impl Drop for TrackedTask {
    fn drop(&mut self) {
        self.running.send_modify(|running| *running -= 1);
    }
}
