use std::time::Duration;

use tokio::sync::watch;

/// Counts what is running, so that a shutdown can wait for it.
#[derive(Debug)]
pub(crate) struct Tasks {
    running: watch::Sender<usize>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { running: watch::Sender::new(0) }
    }
}

/// One running task; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    running: watch::Sender<usize>,
}

impl Tasks {
    pub(crate) fn enter(&self) -> Running {
        self.running.send_modify(|running| *running += 1);
        Running { running: self.running.clone() }
    }

    /// Waits until nothing runs, and says how much still ran at the deadline.
    pub(crate) async fn drained(&self, deadline: Duration) -> usize {
        let mut running = self.running.subscribe();
        // The sender is ours, so the only error is the deadline's.
        let _ = tokio::time::timeout(deadline, running.wait_for(|running| *running == 0)).await;
        *self.running.borrow()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.running.send_modify(|running| *running -= 1);
    }
}
