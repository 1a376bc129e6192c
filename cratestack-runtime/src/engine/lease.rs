use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::{Instrument, Span, error, warn};

use super::caught;
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

#[derive(Debug, Clone)]
struct Held {
    store: Arc<dyn IdempotencyStore>,
    hold: Hold,
    /// Where the request lives, and whom its log lines belong to.
    runtime: Handle,
    span: Span,
    /// `None` while it is being renewed, and where there is nothing to renew.
    next: Option<Instant>,
    is_abandoned: bool,
    is_lost: bool,
}

/// A renewal may fail twice in a row before the lease ends.
const BEATS_PER_LEASE: u32 = 3;
/// After a failed renewal the next one does not wait for its turn.
const RETRIES_PER_BEAT: u32 = 4;
/// How long the thread stays where there is no lease.
const LINGERS: Duration = Duration::from_secs(10);

static LEASES: LazyLock<Leases> = LazyLock::new(|| Leases { state: Mutex::default(), earlier: Condvar::new() });

impl Lease {
    /// Keeps a reservation alive that was made just now.
    pub(super) fn new(store: Arc<dyn IdempotencyStore>, hold: Hold) -> Self {
        let leases: &'static Leases = &LEASES;
        let turn = turn(&hold);
        Self { leases, id: leases.add(store, hold, turn), turn }
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
                () = tokio::time::sleep(look) => self.leases.renew_if_due(self.id),
            }
            look = self.turn / RETRIES_PER_BEAT;
        }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(super) fn is_lost(&self) -> bool {
        self.leases.lock().held.get(&self.id).is_some_and(|held| held.is_lost)
    }

    /// Lets the lease run out.
    pub(super) fn abandon(&self) {
        if let Some(held) = self.leases.lock().held.get_mut(&self.id) {
            held.is_abandoned = true;
            held.next = None;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = self.leases.lock().held.remove(&self.id);
        // Outside the lock: a store may do anything when it is dropped.
        drop(held);
    }
}

impl Leases {
    /// Every change is whole before anything in it can panic, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, store: Arc<dyn IdempotencyStore>, hold: Hold, turn: Duration) -> u64 {
        let next = Instant::now() + turn;
        let entry = Held {
            store,
            hold,
            runtime: Handle::current(),
            span: Span::current(),
            next: Some(next),
            is_abandoned: false,
            is_lost: false,
        };
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.held.insert(id, entry);
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
                    error!(%error, "no thread to renew idempotency leases from: a handler that runs longer than its lease may run twice");
                }
            }
        }
    }

    /// What the thread does.
    fn watch(&'static self) {
        let mut idle_since = None;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let due = state.due(now);
            drop(state);
            for (id, held) in due {
                self.renew(id, held);
            }
            state = self.lock();
            if !state.held.is_empty() {
                idle_since = None;
            } else if idle_since.get_or_insert(now).elapsed() >= LINGERS {
                state.wakes = None;
                return;
            }
            let mut wakes = state.earliest().unwrap_or(now + LINGERS);
            state.wakes = Some(wakes);
            while let Some(left) = wakes.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                let woken = self.earlier.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                wakes = state.wakes.unwrap_or(wakes);
            }
        }
    }

    fn renew_if_due(&'static self, id: u64) {
        let now = Instant::now();
        let due = self.lock().held.get_mut(&id).and_then(|held| held.take_if_due(now));
        if let Some(held) = due {
            self.renew(id, held);
        }
    }

    fn renew(&'static self, id: u64, Held { store, hold, runtime, span, .. }: Held) {
        // A runtime that is shut down drops the task here, and with it what it holds.
        runtime.spawn(self.beat(id, store, hold).instrument(span));
    }

    async fn beat(&'static self, id: u64, store: Arc<dyn IdempotencyStore>, hold: Hold) {
        let (claim, turn) = (&hold.claim, turn(&hold));
        let renewal = store.renew(&claim.principal, &claim.key, hold.token, claim.lease, claim.retention);
        let renewal = match tokio::time::timeout(turn, caught(renewal)).await {
            Ok(Some(renewal)) => renewal,
            Ok(None) => Err(StoreError::Internal("the store panicked".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no answer to a renewal in time".to_owned())),
        };
        let next = match renewal {
            Ok(Tenure::Held) => Some(turn),
            Ok(Tenure::Unknown | Tenure::Lost) => None,
            Err(ref error) => {
                warn!(%error, "idempotency lease not renewed; trying again");
                Some(turn / RETRIES_PER_BEAT)
            }
        };
        let mut state = self.lock();
        let Some(entry) = state.held.get_mut(&id) else { return };
        entry.is_lost |= matches!(renewal, Ok(Tenure::Lost));
        if entry.is_abandoned {
            return;
        }
        entry.next = next.map(|next| Instant::now() + next);
        if let Some(next) = entry.next {
            self.expect(state, next);
        }
    }
}

impl State {
    fn due(&mut self, now: Instant) -> Vec<(u64, Held)> {
        self.held.iter_mut().filter_map(|(id, held)| Some((*id, held.take_if_due(now)?))).collect()
    }

    fn earliest(&self) -> Option<Instant> {
        self.held.values().filter_map(|held| held.next).min()
    }
}

impl Held {
    /// What is to be renewed now; it is not due again before that has ended.
    fn take_if_due(&mut self, now: Instant) -> Option<Self> {
        self.next.take_if(|next| *next <= now).map(|_| self.clone())
    }
}

fn turn(hold: &Hold) -> Duration {
    (hold.claim.lease / BEATS_PER_LEASE).max(Duration::from_millis(1))
}
