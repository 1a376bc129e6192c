use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, debug, error};

use super::renewal::RenewalTarget;
use super::schedule::{DueRenewal, Renewable, Schedule};
use crate::engine::retry::{Call, Recovery, until_answered};
use crate::store::{LeaseState, StoreError};
use crate::util::lock;

/// Renews all leases of the process.
#[derive(Debug)]
pub(super) struct Renewer {
    state: Mutex<RenewerState>,
    /// Something is due earlier than the thread will wake.
    earlier: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct RenewerState {
    pub(super) schedule: Schedule,
    /// When the thread wakes by itself. `None` where there is no thread.
    wakes: Option<Instant>,
}

/// How long the thread stays where there is no lease.
const THREAD_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The thread does not wake more often than this.
const MIN_WAKE_INTERVAL: Duration = Duration::from_millis(2);

pub(super) static RENEWER: LazyLock<Renewer> =
    LazyLock::new(|| Renewer { state: Mutex::default(), earlier: Condvar::new() });

impl Renewer {
    pub(super) fn lock(&self) -> MutexGuard<'_, RenewerState> {
        lock(&self.state)
    }

    pub(super) fn add(&'static self, renewable: Renewable, leased: Instant, next: Instant) -> u64 {
        let mut state = self.lock();
        let id = state.schedule.add(renewable, leased, next);
        self.expect(state, next);
        id
    }

    pub(super) fn plan(&'static self, mut state: MutexGuard<'_, RenewerState>, id: u64, next: Instant) {
        state.schedule.plan(id, next);
        self.expect(state, next);
    }

    pub(super) fn renew_if_due(&'static self, id: u64) {
        let due = self.lock().schedule.take_if_due(id, Instant::now());
        if let Some(due) = due {
            self.renew(due);
        }
    }

    /// The thread will look at `next`.
    fn expect(&'static self, mut state: MutexGuard<'_, RenewerState>, next: Instant) {
        match state.wakes {
            Some(wakes) if wakes <= next => {}
            Some(_) => {
                state.wakes = Some(next);
                self.earlier.notify_one();
            }
            None => {
                state.wakes = Some(next);
                drop(state);
                let thread = std::thread::Builder::new().name("idempotency-leases".to_owned());
                if let Err(error) = thread.spawn(|| self.renew_when_due()) {
                    // The next lease tries again.
                    self.lock().wakes = None;
                    error!(
                        %error,
                        "no thread to renew idempotency leases from: work that blocks its thread for longer than its lease \
                         may run twice"
                    );
                }
            }
        }
    }

    /// What the thread does.
    fn renew_when_due(&'static self) {
        let restart = RestartOnPanic(self);
        let mut idle_since = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = state.schedule.take_due(now);
            drop(state);
            for due in due {
                self.renew(due);
            }
            state = self.lock();
            if !state.schedule.entries.is_empty() {
                idle_since = None;
            } else if idle_since.get_or_insert(now).elapsed() >= THREAD_IDLE_TIMEOUT {
                state.wakes = None;
                std::mem::forget(restart);
                return;
            }
            let earliest = state.schedule.due.first().map_or(now + THREAD_IDLE_TIMEOUT, |(next, _)| *next);
            let mut wakes = earliest.max(now + MIN_WAKE_INTERVAL);
            state.wakes = Some(wakes);
            while let Some(left) = wakes.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                let woken = self.earlier.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                wakes = state.wakes.unwrap_or(wakes).max(now + MIN_WAKE_INTERVAL);
            }
        }
    }

    fn renew(&'static self, due: DueRenewal) {
        let DueRenewal { id, generation, renewable } = due;
        let Renewable { target, recovery, runtime, span } = renewable;
        let renewing = self.until_renewed(id, generation, target, recovery).instrument(span);
        // A runtime that is shut down drops the task here, and with it what it holds.
        let renewing = runtime.spawn(renewing).abort_handle();
        match self.lock().schedule.entry(id, generation) {
            Some(entry) => entry.renewing = Some(renewing),
            None => renewing.abort(),
        }
    }

    async fn until_renewed(&'static self, id: u64, generation: u64, target: RenewalTarget, recovery: Arc<Recovery>) {
        let interval = target.renew_interval();
        let target = Arc::new(target);
        let call = || {
            let target = Arc::clone(&target);
            let renewal: Call<(Instant, LeaseState)> = Box::pin(async move { target.renew().await });
            renewal
        };
        let refused = |error: &StoreError| debug!(%error, "idempotency lease not renewed; trying again");
        let (sent, renewed) = until_answered(&recovery, None, call, refused).await;
        let mut state = self.lock();
        let Some(entry) = state.schedule.entry(id, generation) else { return };
        entry.renewing = None;
        if renewed == LeaseState::Held {
            entry.leased = sent;
            self.plan(state, id, sent + interval);
        } else {
            entry.is_over = true;
            entry.is_lost = renewed == LeaseState::Lost;
        }
    }
}

/// Where the thread ends out of order, the next lease starts another.
struct RestartOnPanic(&'static Renewer);

impl Drop for RestartOnPanic {
    fn drop(&mut self) {
        self.0.lock().wakes = None;
    }
}
