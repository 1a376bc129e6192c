//! The leases of this process' runs, renewed until their runs end.
//!
//! ```text
//! reserved      asked: the lease counts from the write, so from here at the earliest
//! + 1/3 lease   the first renewal is sent
//!               … it has no answer: another starts beside it …   see `retry`
//!               held: the next is due a third after it was sent
//!               lost: another run has the key
//! outcome       a renewal that is on its way tells nothing more
//! ```
//!
//! Two look at the clock: the request's own task while it waits ([`Lease::during`]), and one thread of the process for all, so
//! that a handler that blocks its thread, and with it perhaps its runtime's timers, does not lose its lease. Most requests end
//! before anybody looks.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, error};

use super::model::Hold;
use super::reserve::remaining;
use super::retry::{Call, Recovery, until_answered};
use crate::store::{IdempotencyStore, LeaseState, StoreError};
use crate::util::poll_once;

/// A reservation that is kept alive until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    leases: &'static Leases,
    id: u64,
    interval: Duration,
}

#[derive(Debug)]
struct Leases {
    state: Mutex<State>,
    /// Something is due earlier than the thread will wake.
    earlier: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<u64, Held>,
    /// What is due when, the earliest first.
    due: BTreeSet<(Instant, u64)>,
    last_id: u64,
    /// When the thread wakes by itself. `None` where there is no thread.
    wakes: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    reservation: Renewable,
    /// As in [`State::due`]; `None` while it is being renewed, and where there is nothing to renew.
    next: Option<Instant>,
    /// Which renewal may say what became of it.
    generation: u64,
    renewing: Option<AbortHandle>,
    /// There is nothing to renew any more.
    is_over: bool,
    is_lost: bool,
}

/// What a renewal needs.
#[derive(Debug, Clone)]
pub(super) struct RenewalTarget {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) recovery: Arc<Recovery>,
    pub(super) hold: Hold,
    /// When the reservation was asked for.
    pub(super) asked: Instant,
}

#[derive(Debug, Clone)]
struct Renewable {
    target: RenewalTarget,
    /// Where the request lives, and whom its log lines belong to.
    runtime: Handle,
    span: Span,
}

/// Two thirds of a lease are left for a renewal that takes its time.
const RENEWALS_PER_LEASE: u32 = 3;
/// While the outcome is being written, the lease waits for so much of an interval.
const PAUSES_PER_INTERVAL: u32 = 4;
/// How long the thread stays where there is no lease.
const THREAD_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The thread does not wake more often than this.
const MIN_WAKE_INTERVAL: Duration = Duration::from_millis(2);

static LEASES: LazyLock<Leases> = LazyLock::new(|| Leases { state: Mutex::default(), earlier: Condvar::new() });

impl Lease {
    /// Keeps a reservation alive whose lease began at `leased` or later.
    pub(super) fn new(target: RenewalTarget, leased: Instant) -> Self {
        let all: &'static Leases = &LEASES;
        let interval = renew_interval(target.hold.claim.lease);
        let (runtime, span) = (Handle::current(), Span::current());
        Self { leases: all, id: all.add(Renewable { target, runtime, span }, leased + interval), interval }
    }

    /// Renews the lease until the future is ready.
    pub(super) async fn during<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        if let Some(output) = poll_once(future.as_mut()).await {
            return output;
        }
        let mut look = self.interval;
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = tokio::time::sleep(look) => {
                    self.leases.renew_if_due(self.id);
                    // The renewal may be next on this very thread, which the future may block.
                    tokio::task::yield_now().await;
                }
            }
            look = self.interval / PAUSES_PER_INTERVAL;
        }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(super) fn is_lost(&self) -> bool {
        self.leases.lock().held.get(&self.id).is_some_and(|held| held.is_lost)
    }

    /// Returns once it is.
    pub(super) async fn lost(&self) {
        while !self.is_lost() {
            tokio::time::sleep(self.interval / PAUSES_PER_INTERVAL).await;
        }
    }

    /// The reservation is about to be ended: a renewal that is on its way might find it so, and must not tell of it.
    pub(super) fn settles(&self) {
        let mut state = self.leases.lock();
        // Where there is nothing to renew, there is nothing on its way.
        if !state.held.get(&self.id).is_some_and(|held| held.next.is_none() && !held.is_over) {
            return;
        }
        let renewing = state.stop(self.id);
        let next = Instant::now() + self.interval / PAUSES_PER_INTERVAL;
        state.schedule(self.id, next);
        self.leases.expect(state, next);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }

    /// Lets the lease run out.
    pub(super) fn abandon(&self) {
        let mut state = self.leases.lock();
        let renewing = state.stop(self.id);
        drop(state);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock: a store may do anything when it is dropped.
        let (renewing, held) = {
            let mut state = self.leases.lock();
            (state.stop(self.id), state.held.remove(&self.id))
        };
        drop(held);
        if let Some(renewing) = renewing {
            renewing.abort();
        }
    }
}

impl Leases {
    /// Every change is whole before anything in it can panic, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, reservation: Renewable, next: Instant) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        let held = Held { reservation, next: None, generation: 0, renewing: None, is_over: false, is_lost: false };
        state.held.insert(id, held);
        state.schedule(id, next);
        self.expect(state, next);
        id
    }

    /// The thread will look at `next`.
    fn expect(&'static self, mut state: MutexGuard<'_, State>, next: Instant) {
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
                if let Err(error) = thread.spawn(|| self.watch()) {
                    // The next lease tries again.
                    self.lock().wakes = None;
                    error!(
                        %error,
                        "no thread to renew idempotency leases from: a handler that blocks its thread for longer than its \
                         lease may run twice"
                    );
                }
            }
        }
    }

    /// What the thread does.
    fn watch(&'static self) {
        let watching = Watching(self);
        let mut idle_since = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = state.take_due(now);
            drop(state);
            for (id, generation, reservation) in due {
                self.renew(id, generation, reservation);
            }
            state = self.lock();
            if !state.held.is_empty() {
                idle_since = None;
            } else if idle_since.get_or_insert(now).elapsed() >= THREAD_IDLE_TIMEOUT {
                state.wakes = None;
                std::mem::forget(watching);
                return;
            }
            let earliest = state.due.first().map_or(now + THREAD_IDLE_TIMEOUT, |(next, _)| *next);
            let mut wakes = earliest.max(now + MIN_WAKE_INTERVAL);
            state.wakes = Some(wakes);
            while let Some(left) = wakes.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                let woken = self.earlier.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                wakes = state.wakes.unwrap_or(wakes).max(now + MIN_WAKE_INTERVAL);
            }
        }
    }

    fn renew_if_due(&'static self, id: u64) {
        let due = self.lock().take_if_due(id, Instant::now());
        if let Some((generation, reservation)) = due {
            self.renew(id, generation, reservation);
        }
    }

    fn renew(&'static self, id: u64, generation: u64, reservation: Renewable) {
        let Renewable { target, runtime, span } = reservation;
        // A runtime that is shut down drops the task here, and with it what it holds.
        let renewing = runtime.spawn(self.renewed(id, generation, target).instrument(span)).abort_handle();
        match self.lock().held.get_mut(&id) {
            Some(held) if held.generation == generation => held.renewing = Some(renewing),
            _ => renewing.abort(),
        }
    }

    async fn renewed(&'static self, id: u64, generation: u64, target: RenewalTarget) {
        let RenewalTarget { store, recovery, hold, asked } = target;
        let interval = renew_interval(hold.claim.lease);
        let call = || {
            let (store, hold) = (Arc::clone(&store), hold.clone());
            let renewal: Call<(Instant, LeaseState)> = Box::pin(async move {
                let (claim, sent) = (&hold.claim, Instant::now());
                let retention = remaining(claim, asked);
                let renewed =
                    store.renew(claim.id.principal(), claim.id.key(), hold.token, claim.lease, retention).await?;
                Ok((sent, renewed))
            });
            renewal
        };
        let refused = |error: &StoreError| debug!(%error, "idempotency lease not renewed; trying again");
        let (sent, renewed) = until_answered(&recovery, None, call, refused).await;
        let mut state = self.lock();
        let Some(held) = state.held.get_mut(&id).filter(|held| held.generation == generation) else { return };
        held.renewing = None;
        if renewed == LeaseState::Held {
            let next = sent + interval;
            state.schedule(id, next);
            self.expect(state, next);
        } else {
            held.is_over = true;
            held.is_lost = renewed == LeaseState::Lost;
        }
    }
}

/// Where the thread ends out of order, the next lease starts another.
struct Watching(&'static Leases);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.lock().wakes = None;
    }
}

impl State {
    fn schedule(&mut self, id: u64, next: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        if let Some(before) = held.next.replace(next) {
            self.due.remove(&(before, id));
        }
        self.due.insert((next, id));
    }

    fn take_due(&mut self, now: Instant) -> Vec<(u64, u64, Renewable)> {
        let due: Vec<_> = self.due.iter().take_while(|(next, _)| *next <= now).map(|(_, id)| *id).collect();
        due.into_iter()
            .filter_map(|id| self.take_if_due(id, now).map(|(generation, what)| (id, generation, what)))
            .collect()
    }

    /// What is to be renewed now; it is not due again before that has ended.
    fn take_if_due(&mut self, id: u64, now: Instant) -> Option<(u64, Renewable)> {
        let held = self.held.get_mut(&id)?;
        let next = held.next.filter(|next| *next <= now)?;
        self.due.remove(&(next, id));
        held.next = None;
        held.generation += 1;
        Some((held.generation, held.reservation.clone()))
    }

    /// Nothing is due any more, and the renewal that is on its way says nothing.
    fn stop(&mut self, id: u64) -> Option<AbortHandle> {
        let held = self.held.get_mut(&id)?;
        if let Some(next) = held.next.take() {
            self.due.remove(&(next, id));
        }
        held.generation += 1;
        held.renewing.take()
    }
}

/// How long after a renewal was sent the next one is due.
pub(super) fn renew_interval(lease: Duration) -> Duration {
    (lease / RENEWALS_PER_LEASE).max(Duration::from_millis(1))
}
