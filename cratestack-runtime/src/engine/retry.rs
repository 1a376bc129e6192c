//! What must reach the store (an outcome, a renewal) is sent until it is answered, and is the first to reach a store
//! that is back.
//!
//! ```text
//! the store goes away    a call that was refused waits for news; one that has no answer keeps waiting for it
//! every 100 ms           one of all that were refused is sent again
//! it is back             that one is answered, or a reservation: all others are sent at once, and new reservations after them
//! ```
//!
//! A store may be back for all but some of them: a full disk takes renewals and no outcomes, a row is locked. A call
//! that was refused on the news that the store is back therefore rests before it believes such news again, and
//! reservations no longer wait for calls that get no answer while they get theirs.
//!
//! A call without an answer keeps its place, in a pool's queue or wherever it waits, and few others start beside it:
//! the connection of the first may be dead. The store takes each of these calls any number of times.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::store_call::store_call;
use crate::store::StoreError;
use crate::util::lock;

/// How often one of those that were refused is sent again.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// The pauses after a refusal that is not the store's absence grow from [`PROBE_INTERVAL`] to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The rests of a call that was refused although the store was said to be back grow from [`PROBE_INTERVAL`] to this.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// A call without an answer gets another one beside it after this long, and a third after four times as long.
const HEDGE_AFTER: Duration = Duration::from_secs(1);
/// Calls for one answer at the same time. Each may have a connection, and a server that stalls would get ever more of
/// them.
const MAX_HEDGED_CALLS: usize = 3;
/// How long a new reservation lets what is overdue go first. Past that, the store may refuse the one and take the
/// other.
const OVERDUE_FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the store is away, as far as what must reach it has found out.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    due: std::sync::Mutex<Due>,
    /// Fewer calls are overdue.
    fewer: Notify,
    is_away: AtomicBool,
    /// Told when a store answers that was away.
    back: watch::Sender<()>,
    /// Held by whoever is to be sent next.
    probe: Mutex<()>,
}

/// Calls that were refused for the store's absence, or have no answer, and go on.
#[derive(Debug, Default)]
struct Due {
    numbered: u64,
    overdue: BTreeSet<u64>,
    /// Reservations do not wait for the calls up to this one.
    passed_over: u64,
}

impl Due {
    /// The newest one that reservations wait for.
    fn newest(&self) -> Option<u64> {
        self.overdue.last().copied().filter(|newest| *newest > self.passed_over)
    }
}

/// Counts a call as overdue until this is dropped.
struct Overdue<'a> {
    recovery: &'a Recovery,
    number: u64,
}

impl Drop for Overdue<'_> {
    fn drop(&mut self) {
        self.recovery.due().overdue.remove(&self.number);
        self.recovery.fewer.notify_waiters();
    }
}

/// Calls for whom a reservation has waited in vain.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitedFor(u64);

impl Recovery {
    fn due(&self) -> MutexGuard<'_, Due> {
        lock(&self.due)
    }

    fn overdue(&self) -> Overdue<'_> {
        let mut due = self.due();
        due.numbered += 1;
        let number = due.numbered;
        due.overdue.insert(number);
        Overdue { recovery: self, number }
    }

    /// The store has answered, also whoever has waited in vain for what is overdue: no other reservation waits for
    /// that.
    pub(super) fn answered(&self, in_vain: Option<WaitedFor>) {
        if let Some(WaitedFor(newest)) = in_vain {
            let mut due = self.due();
            due.passed_over = due.passed_over.max(newest);
            drop(due);
            self.fewer.notify_waiters();
        }
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            self.back.send_replace(());
        }
    }

    /// Lets what is overdue reach the store first, for a while; returns what has not reached it by then.
    pub(super) async fn let_overdue_go_first(&self) -> Option<WaitedFor> {
        let is_clear = || self.due().newest().is_none();
        if is_clear() {
            return None;
        }
        let clearing = async {
            loop {
                let mut fewer = pin!(self.fewer.notified());
                fewer.as_mut().enable();
                if is_clear() {
                    return;
                }
                fewer.await;
            }
        };
        // An error is the end of the courtesy.
        let _ = tokio::time::timeout(OVERDUE_FIRST_TIMEOUT, clearing).await;
        self.due().newest().map(WaitedFor)
    }

    /// Returns when it is worth another try: the store has answered somebody else, or it is this call's turn to find
    /// out.
    async fn is_worth_a_try(&self, news: &mut News) {
        let turn = async {
            let _probe = self.probe.lock().await;
            tokio::time::sleep(PROBE_INTERVAL).await;
        };
        tokio::select! {
            () = news.arrived() => {}
            () = turn => {}
        }
    }
}

/// That the store is back, as one call hears of it.
struct News {
    back: watch::Receiver<()>,
    /// The next are believed from then on.
    not_before: Instant,
    rest: Duration,
    is_believed: bool,
}

impl News {
    fn of(recovery: &Recovery) -> Self {
        Self { back: recovery.back.subscribe(), not_before: Instant::now(), rest: PROBE_INTERVAL, is_believed: false }
    }

    async fn arrived(&mut self) {
        if self.not_before > Instant::now() {
            tokio::time::sleep_until(self.not_before).await;
        }
        // The sender lives as long as the call.
        let _ = self.back.changed().await;
        self.is_believed = true;
    }

    /// The call was refused for the store's absence.
    fn refuted(&mut self) {
        if std::mem::take(&mut self.is_believed) {
            self.not_before = Instant::now() + self.rest;
            self.rest = LONGEST_REST.min(self.rest * 2);
        }
    }
}

/// One call on its way.
pub(super) type Call<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Makes a call until it is answered. `first` may be on its way already; `refused` is told of each error.
pub(super) async fn until_answered<T: Send + 'static>(
    recovery: &Recovery,
    first: Option<Call<T>>,
    call: impl Fn() -> Call<T>,
    refused: impl Fn(&StoreError),
) -> T {
    let mut calls = JoinSet::new();
    calls.spawn(store_call(first.unwrap_or_else(&call)));
    let mut news = News::of(recovery);
    let (mut overdue, mut silence, mut pause) = (None, HEDGE_AFTER, PROBE_INTERVAL);
    loop {
        let has_room = calls.len() < MAX_HEDGED_CALLS;
        let failure = tokio::select! {
            biased;
            Some(answer) = calls.join_next() => match answer {
                Ok(Ok(answer)) => {
                    recovery.answered(None);
                    return answer;
                }
                Ok(Err(failure)) => Some(failure),
                Err(error) => Some(StoreError::Internal(error.to_string())),
            },
            () = news.arrived(), if has_room => None,
            () = tokio::time::sleep(silence), if has_room => {
                silence *= 3;
                None
            }
        };
        match failure {
            // Without an answer.
            None => {
                overdue.get_or_insert_with(|| recovery.overdue());
            }
            Some(failure) => {
                refused(&failure);
                let is_away = matches!(failure, StoreError::Unavailable(_));
                if is_away {
                    overdue.get_or_insert_with(|| recovery.overdue());
                    recovery.is_away.store(true, Ordering::Relaxed);
                    news.refuted();
                }
                if !calls.is_empty() {
                    continue;
                }
                if is_away {
                    recovery.is_worth_a_try(&mut news).await;
                } else {
                    // The store is there, and does not want this call: that is nobody else's concern.
                    overdue = None;
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
        calls.spawn(store_call(call()));
    }
}
