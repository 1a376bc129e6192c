//! How a request comes by its key: it has it, or learns who has.
//!
//! Whoever has the [`KeyTurn`] asks the store. Of those who wait for a run elsewhere, one watches the store for all, and asks
//! again when the watch tells or the poll is due; whoever waits for a run in this process needs no store for that.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::limits::{Admission, Limits};
use super::local::{EntryGuard, KeyTurn, Known, Lead, Look};
use super::model::{Limit, OwnedClaim, Policy};
use super::reserve::too_late;
use super::retry::Recovery;
use super::store_call::store_call;
use crate::store::{IdempotencyRecord, IdempotencyStore, StoreError, Watch};
use crate::util::{catch_panic, timeout};

/// What the store says of a key; a [`ClaimOutcome`](crate::ClaimOutcome) whose record can be shared, and whose reservation can
/// be of any kind.
#[derive(Debug)]
pub(super) enum Found<G> {
    Ours(G),
    Replay(Arc<IdempotencyRecord>),
    InFlight,
    Conflict,
}

/// A question for a key that can be put again.
pub(super) trait Ask: Sync {
    /// What is had with the key.
    type Grant: Send;

    fn ask(&self) -> impl Future<Output = Result<Found<Self::Grant>, StoreError>> + Send;
}

/// What became of a request's wish for its key.
#[derive(Debug)]
pub(super) enum Acquired<G> {
    Ours(G, KeyTurn, Admission),
    Replay {
        record: Arc<IdempotencyRecord>,
        /// This request asked the store for it. Else another one did, perhaps before this one came; or it is yet to be written.
        fetched: bool,
    },
    InFlight,
    Conflict,
    Overloaded(Limit),
}

/// Asked again this long after the first time, then at growing intervals.
const FIRST_POLL: Duration = Duration::from_millis(100);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// With a watch the poll is only the safety net.
const WATCHED_POLL: Duration = Duration::from_secs(2);
/// How long a store may take to begin a watch before it is polled instead, for this once.
const WATCH_TIMEOUT: Duration = Duration::from_secs(1);
/// So many watches of one key may tell of nothing before each has to pause for [`FIRST_POLL`].
const FALSE_ALARMS: u32 = 8;

/// What asking for a key needs besides the question.
pub(super) struct Acquire<'a> {
    pub(super) store: &'a dyn IdempotencyStore,
    pub(super) limits: &'a Arc<Limits>,
    pub(super) recovery: &'a Recovery,
    pub(super) policy: Policy,
}

impl Acquire<'_> {
    /// Has the key, or says who has; where the policy lets it wait, waits for the outcome of whoever has it. Past its deadline,
    /// or once its caller is `gone`, the request is in flight still.
    pub(super) async fn acquire<A: Ask>(
        &self,
        entry: &mut EntryGuard,
        question: &A,
        gone: impl Future<Output = ()>,
    ) -> Result<Acquired<A::Grant>, StoreError> {
        let Policy { patience, wait, .. } = self.policy;
        let wait_until = after(wait);
        // Until somebody has said that the key is in flight, this request has no answer to give.
        let mut deadline = wait_until.max(after(patience));
        let mut is_in_flight = false;
        let mut gone = pin!(gone);
        let (mut place, mut watching) = (None, None);
        loop {
            let (version, look) = entry.look();
            let is_elsewhere = match look {
                Look::Turn(turn) => {
                    let admission = match self.limits.admit() {
                        Ok(admission) => admission,
                        Err(limit) => return Ok(Acquired::Overloaded(limit)),
                    };
                    let waited_for = self.recovery.let_overdue_go_first().await;
                    let answer = question.ask().await;
                    if answer.is_ok() {
                        self.recovery.answered(waited_for);
                    }
                    match answer {
                        Ok(Found::Ours(grant)) => return Ok(Acquired::Ours(grant, turn, admission)),
                        Ok(Found::Replay(record)) => {
                            turn.tell(Known::Replay(Arc::clone(&record)));
                            return Ok(Acquired::Replay { record, fetched: true });
                        }
                        Ok(Found::Conflict) => turn.tell(Known::Conflict),
                        Ok(Found::InFlight) => turn.tell(Known::InFlight { here: false }),
                        Err(failure) => turn.tell(Known::Failed(failure)),
                    }
                    // This request is told like everybody else.
                    continue;
                }
                Look::Known(Known::Replay(record)) => return Ok(Acquired::Replay { record, fetched: false }),
                Look::Known(Known::Conflict) => return Ok(Acquired::Conflict),
                // Whoever waits already has no news by that of the run that it waits for.
                Look::Known(Known::Failed(StoreError::Unavailable(_))) if is_in_flight => true,
                Look::Known(Known::Failed(failure)) => return Err(failure),
                Look::Known(Known::InFlight { .. }) if wait.is_zero() => return Ok(Acquired::InFlight),
                Look::Known(Known::InFlight { here }) => {
                    (is_in_flight, deadline) = (true, wait_until);
                    !here
                }
                Look::Asking => false,
            };
            if place.is_none() {
                place = self.limits.wait();
                if place.is_none() {
                    return Ok(Acquired::InFlight);
                }
            }
            if is_elsewhere && watching.is_none() {
                watching = entry.lead().map(Watching::new);
            }
            let news = async {
                match watching.as_mut().filter(|_| is_elsewhere) {
                    Some(watching) => watching.news(self.store, entry.claim()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut gone => return Ok(Acquired::InFlight),
                () = entry.changed_since(version) => {}
                () = tokio::time::sleep_until(deadline) => {
                    return if is_in_flight { Ok(Acquired::InFlight) } else { Err(too_late(patience)) };
                }
                () = news => {}
            }
        }
    }
}

/// Far enough for whoever waits for ever, and within what a clock can say.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

fn after(duration: Duration) -> Instant {
    Instant::now() + duration.min(FOR_EVER)
}

/// Looks out for the end of a run elsewhere, for all who wait for it here.
struct Watching {
    _lead: Lead,
    watch: Option<Watch>,
    poll: Duration,
    alarms: u32,
}

impl Watching {
    fn new(lead: Lead) -> Self {
        Self { _lead: lead, watch: None, poll: FIRST_POLL, alarms: 0 }
    }

    /// Returns when the store is to be asked again.
    async fn news(&mut self, store: &dyn IdempotencyStore, claim: &OwnedClaim) {
        if self.watch.is_none() {
            let watching = async { store.watch(claim.id.principal(), claim.id.key()).await };
            let late = |_| Err(StoreError::Unavailable(format!("no answer within {WATCH_TIMEOUT:?}")));
            let answer = timeout(WATCH_TIMEOUT, store_call(watching)).await.unwrap_or_else(late);
            self.watch = answer.unwrap_or_else(|error| {
                debug!(%error, "idempotency waiters poll: the store cannot watch");
                None
            });
            if self.watch.is_some() {
                // What happened between the answer and the watch would be missed.
                self.poll = WATCHED_POLL;
                return;
            }
        }
        let changed = async {
            match &mut self.watch {
                // A panic ends it as well.
                Some(watch) => drop(catch_panic(watch.changed()).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed => {
                // Told once: whatever happens next needs a watch of its own.
                self.watch = None;
                self.alarms += 1;
                if self.alarms > FALSE_ALARMS {
                    tokio::time::sleep(FIRST_POLL).await;
                }
            }
            () = tokio::time::sleep(self.poll) => self.poll = (self.poll * 2).min(SLOWEST_POLL.max(self.poll)),
        }
    }
}
