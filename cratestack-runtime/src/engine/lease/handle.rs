use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Span;

use super::renewal::RenewalTarget;
use super::renewer::{RENEWER, Renewer};
use super::schedule::Renewable;
use crate::engine::retry::Recovery;
use crate::util::poll_once;

/// A reservation that is kept alive until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    renewer: &'static Renewer,
    id: u64,
    interval: Duration,
}

/// How the work of a run looks at its lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseWatch {
    renewer: &'static Renewer,
    id: u64,
}

impl LeaseWatch {
    /// Whether the lease lasts: it is counted from before its last confirmed renewal was sent. It does not once the run
    /// is over.
    pub(crate) fn lasts(self) -> bool {
        self.renewer.lock().schedule.lasts(self.id)
    }

    /// The store has told that another run has the key.
    pub(crate) fn lose(self) {
        self.renewer.lock().schedule.lose(self.id);
    }

    /// A step has had its effect, and is not recorded yet. It counts as such until [`step_is_recorded`].
    ///
    /// [`step_is_recorded`]: Self::step_is_recorded
    pub(crate) fn step_is_done(self) {
        self.renewer.lock().schedule.step_is_done(self.id);
    }

    pub(crate) fn step_is_recorded(self) {
        self.renewer.lock().schedule.step_is_recorded(self.id);
    }
}

/// Of an interval, a fourth passes between two looks at a lease, and before a renewal that gave way to the outcome is
/// sent again.
const LOOKS_PER_INTERVAL: u32 = 4;

impl Lease {
    /// Keeps a reservation alive whose lease began at `leased` or later.
    pub(crate) fn new(target: RenewalTarget, recovery: Arc<Recovery>, leased: Instant) -> Self {
        let renewer: &'static Renewer = &RENEWER;
        let interval = target.renew_interval();
        let renewable = Renewable { target, recovery, runtime: Handle::current(), span: Span::current() };
        Self { renewer, id: renewer.add(renewable, leased, leased + interval), interval }
    }

    pub(crate) fn watch(&self) -> LeaseWatch {
        LeaseWatch { renewer: self.renewer, id: self.id }
    }

    /// Renews the lease until the future is ready.
    pub(crate) async fn during<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        match poll_once(future.as_mut()).await {
            Some(output) => output,
            // Boxed, because what is ready at once need not carry the timer.
            None => Box::pin(self.looked_after(future)).await,
        }
    }

    async fn looked_after<T>(&self, mut future: Pin<&mut impl Future<Output = T>>) -> T {
        let mut look = self.interval;
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = tokio::time::sleep(look) => {
                    self.renewer.renew_if_due(self.id);
                    // The renewal may be next on this very thread, which the future may block.
                    tokio::task::yield_now().await;
                }
            }
            look = self.interval / LOOKS_PER_INTERVAL;
        }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(crate) fn is_lost(&self) -> bool {
        self.renewer.lock().schedule.is_lost(self.id)
    }

    /// Returns once it is.
    pub(crate) async fn lost(&self) {
        while !self.is_lost() {
            tokio::time::sleep(self.interval / LOOKS_PER_INTERVAL).await;
        }
    }

    /// Whether the run has done a step that it did not record.
    pub(crate) fn has_unrecorded_step(&self) -> bool {
        self.renewer.lock().schedule.has_unrecorded_step(self.id)
    }

    /// The reservation is about to be ended. A renewal that is on its way might find that it was, and take it for lost:
    /// its answer is not listened to, and the next one is put off. One that is not on its way yet stays due when it
    /// was.
    pub(crate) fn pause_renewal(&self) {
        let mut state = self.renewer.lock();
        // Where nothing is being renewed, nothing is on its way.
        if !state.schedule.is_being_renewed(self.id) {
            return;
        }
        let renewing = state.schedule.stop(self.id);
        self.renewer.plan(state, self.id, Instant::now() + self.interval / LOOKS_PER_INTERVAL);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }

    /// Lets the lease run out.
    pub(crate) fn abandon(&self) {
        let renewing = self.renewer.lock().schedule.stop(self.id);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock: a store may do anything when it is dropped.
        let (renewing, entry) = {
            let mut state = self.renewer.lock();
            (state.schedule.stop(self.id), state.schedule.entries.remove(&self.id))
        };
        drop(entry);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }
}
