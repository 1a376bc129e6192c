use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span, error, warn};

use super::caught_of_store;
use super::guard::Hold;
use super::within::at_once;
use crate::store::{IdempotencyStore, StoreError, Tenure};

/// A reservation that is kept alive until this is dropped.
///
/// The request's own task looks at the clock while it waits ([`during`](Self::during)), and a thread of the process does for
/// all: a handler that blocks its thread, and with it perhaps its runtime's timers, does not lose its lease. Most requests end
/// before anybody looks.
#[derive(Debug)]
pub(super) struct Lease {
    leases: &'static Leases,
    id: u64,
    turn: Duration,
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
    last_id: u64,
    /// When the thread wakes by itself. `None` where there is no thread.
    wakes: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    reservation: Reserved,
    /// `None` while it is being renewed, and where there is nothing to renew.
    next: Option<Instant>,
    /// Which renewal may say what became of it.
    beat: u64,
    beating: Option<AbortHandle>,
    /// There is nothing to renew any more.
    is_over: bool,
    is_lost: bool,
}

/// What a renewal needs.
#[derive(Debug, Clone)]
struct Reserved {
    store: Arc<dyn IdempotencyStore>,
    hold: Hold,
    /// Where the request lives, and whom its log lines belong to.
    runtime: Handle,
    span: Span,
}

/// A renewal may fail twice in a row before the lease ends.
const BEATS_PER_LEASE: u32 = 3;
/// After a failed renewal the next one does not wait for its turn.
const RETRIES_PER_BEAT: u32 = 4;
/// How long the thread stays where there is no lease.
const LINGERS: Duration = Duration::from_secs(10);
/// The thread looks at all leases each time; not more often than this.
const RESTS: Duration = Duration::from_millis(2);

static LEASES: LazyLock<Leases> = LazyLock::new(|| Leases { state: Mutex::default(), earlier: Condvar::new() });

impl Lease {
    /// Keeps a reservation alive that was asked for at `asked`, so that its lease began no earlier.
    pub(super) fn new(store: Arc<dyn IdempotencyStore>, hold: Hold, asked: Instant) -> Self {
        let leases: &'static Leases = &LEASES;
        let turn = turn(&hold);
        let reservation = Reserved { store, hold, runtime: Handle::current(), span: Span::current() };
        Self { leases, id: leases.add(reservation, asked + turn), turn }
    }

    /// Renews the lease until the future is ready.
    pub(super) async fn during<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        if let Some(output) = at_once(future.as_mut()).await {
            return output;
        }
        let mut look = self.turn;
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
            look = self.turn / RETRIES_PER_BEAT;
        }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(super) fn is_lost(&self) -> bool {
        self.leases.lock().held.get(&self.id).is_some_and(|held| held.is_lost)
    }

    /// The reservation is about to be ended: a renewal that is on its way might find it so, and must not tell of it.
    pub(super) fn settles(&self) {
        let mut state = self.leases.lock();
        // Where there is nothing to renew, there is nothing on its way.
        let Some(held) = state.held.get_mut(&self.id).filter(|held| held.next.is_none() && !held.is_over) else {
            return;
        };
        let beating = held.stop();
        let next = Instant::now() + self.turn / RETRIES_PER_BEAT;
        held.next = Some(next);
        self.leases.expect(state, next);
        if let Some(beating) = beating {
            beating.abort();
        }
    }

    /// Lets the lease run out.
    pub(super) fn abandon(&self) {
        let mut state = self.leases.lock();
        let beating = state.held.get_mut(&self.id).and_then(Held::stop);
        drop(state);
        if let Some(beating) = beating {
            beating.abort();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock: a store may do anything when it is dropped.
        let held = self.leases.lock().held.remove(&self.id);
        if let Some(beating) = held.and_then(|mut held| held.stop()) {
            beating.abort();
        }
    }
}

impl Leases {
    /// Every change is whole before anything in it can panic, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, reservation: Reserved, next: Instant) -> u64 {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state
            .held
            .insert(id, Held { reservation, next: Some(next), beat: 0, beating: None, is_over: false, is_lost: false });
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
            let due = state.due(now);
            drop(state);
            for (id, beat, reservation) in due {
                self.renew(id, beat, reservation);
            }
            state = self.lock();
            if !state.held.is_empty() {
                idle_since = None;
            } else if idle_since.get_or_insert(now).elapsed() >= LINGERS {
                state.wakes = None;
                std::mem::forget(watching);
                return;
            }
            let mut wakes = state.earliest().unwrap_or(now + LINGERS).max(now + RESTS);
            state.wakes = Some(wakes);
            while let Some(left) = wakes.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                let woken = self.earlier.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                wakes = state.wakes.unwrap_or(wakes).max(now + RESTS);
            }
        }
    }

    fn renew_if_due(&'static self, id: u64) {
        let now = Instant::now();
        let due = self.lock().held.get_mut(&id).and_then(|held| held.take_if_due(now));
        if let Some((beat, reservation)) = due {
            self.renew(id, beat, reservation);
        }
    }

    fn renew(&'static self, id: u64, beat: u64, reservation: Reserved) {
        let Reserved { store, hold, runtime, span } = reservation;
        // A runtime that is shut down drops the task here, and with it what it holds.
        let beating = runtime.spawn(self.beat(id, beat, store, hold).instrument(span)).abort_handle();
        match self.lock().held.get_mut(&id) {
            Some(held) if held.beat == beat => held.beating = Some(beating),
            _ => beating.abort(),
        }
    }

    async fn beat(&'static self, id: u64, beat: u64, store: Arc<dyn IdempotencyStore>, hold: Hold) {
        let (claim, turn) = (&hold.claim, turn(&hold));
        let renewal = async {
            let renewal = store.renew(&claim.principal, &claim.key, hold.token, claim.lease, claim.retention);
            let late = || StoreError::Unavailable("no answer to a renewal in time".to_owned());
            tokio::time::timeout(turn, renewal).await.unwrap_or_else(|_| Err(late()))
        };
        let renewal = caught_of_store(renewal).await;
        let mut state = self.lock();
        let Some(lease) = state.held.get_mut(&id).filter(|lease| lease.beat == beat) else { return };
        lease.beating = None;
        lease.next = match &renewal {
            Ok(Tenure::Held) => Some(Instant::now() + turn),
            Ok(tenure) => {
                lease.is_over = true;
                lease.is_lost = *tenure == Tenure::Lost;
                None
            }
            Err(_) => Some(Instant::now() + turn / RETRIES_PER_BEAT),
        };
        if let Some(next) = lease.next {
            self.expect(state, next);
        } else {
            drop(state);
        }
        if let Err(error) = renewal {
            warn!(%error, "idempotency lease not renewed; trying again");
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
    fn due(&mut self, now: Instant) -> Vec<(u64, u64, Reserved)> {
        let due = |(id, held): (&u64, &mut Held)| held.take_if_due(now).map(|(beat, what)| (*id, beat, what));
        self.held.iter_mut().filter_map(due).collect()
    }

    fn earliest(&self) -> Option<Instant> {
        self.held.values().filter_map(|held| held.next).min()
    }
}

impl Held {
    /// What is to be renewed now; it is not due again before that has ended.
    fn take_if_due(&mut self, now: Instant) -> Option<(u64, Reserved)> {
        self.next.filter(|next| *next <= now)?;
        let reservation = self.reservation.clone();
        self.next = None;
        self.beat += 1;
        Some((self.beat, reservation))
    }

    /// Nothing is due any more, and the renewal that is on its way says nothing.
    fn stop(&mut self) -> Option<AbortHandle> {
        self.next = None;
        self.beat += 1;
        self.beating.take()
    }
}

fn turn(hold: &Hold) -> Duration {
    (hold.claim.lease / BEATS_PER_LEASE).max(Duration::from_millis(1))
}
