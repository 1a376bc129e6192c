//! Of all who ask for one key at the same time in this process, one asks the store.
//!
//! ```text
//! A, B and C wait for a run elsewhere         the store
//! A has the turn, and asks ─────────────────▶ in flight
//! A, B and C are told so
//! B is the leader, and watches ─────────────▶ watched
//!                                             … the run elsewhere ends …
//! B is told by the watch, or its poll is due
//! B has the turn, and asks ─────────────────▶ the outcome
//! A, B and C are told it
//! ```
//!
//! Where the leader goes away, the others wake; one of them asks, and then leads. Whoever waits for a run in this
//! process needs no store for that: its key tells.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::keys::{EntryGuard, KeyTurn, Known, Look};
use super::watching::Watching;
use crate::engine::limits::{Admission, Limits};
use crate::engine::model::{Acquired, Answer, Policy};
use crate::engine::retry::Recovery;
use crate::engine::store_call::too_late;
use crate::store::{IdempotencyStore, StoreError};

/// A key that is had, with all that its work needs of this process.
#[derive(Debug)]
pub(crate) struct Acquisition<G> {
    pub(crate) grant: G,
    /// `None` where nothing was claimed.
    pub(crate) turn: Option<KeyTurn>,
    pub(crate) admission: Admission,
}

/// What asking for a key needs besides the question.
pub(crate) struct SingleFlight<'a> {
    pub(crate) store: &'a dyn IdempotencyStore,
    pub(crate) limits: &'a Arc<Limits>,
    pub(crate) recovery: &'a Recovery,
    pub(crate) policy: Policy,
}

impl SingleFlight<'_> {
    /// Has the key, or says who has; where the policy lets it wait, waits for the outcome of whoever has it. Past its
    /// deadline, or once its caller is `gone`, the request is in flight still.
    pub(crate) async fn acquire<G, R, A>(
        &self,
        entry: &mut EntryGuard,
        ask: impl Fn() -> A,
        gone: impl Future<Output = ()>,
    ) -> Result<Acquisition<G>, Answer<R>>
    where
        A: Future<Output = Result<Acquired<G>, StoreError>>,
    {
        let Policy { store_timeout, wait, .. } = self.policy;
        let begun = Instant::now();
        let wait_until = after(begun, wait);
        // Until somebody has said that the key is in flight, this request has no answer to give.
        let mut deadline = wait_until.max(after(begun, store_timeout));
        let mut is_in_flight = false;
        let mut gone = pin!(gone);
        let (mut place, mut watching) = (None, None);
        loop {
            let (version, look) = entry.look();
            let is_elsewhere = match look {
                Look::Turn(turn) => {
                    let admission = self.limits.admit().map_err(Answer::Overloaded)?;
                    let waited_for = self.recovery.let_overdue_go_first().await;
                    let answer = ask().await;
                    if answer.is_ok() {
                        self.recovery.answered(waited_for);
                    }
                    match answer {
                        Ok(Acquired::Ours(grant)) => return Ok(Acquisition { grant, turn: Some(turn), admission }),
                        Ok(Acquired::Replay(record)) => {
                            turn.tell(Known::Replay(Arc::clone(&record)));
                            return Err(Answer::Replay(record));
                        }
                        Ok(Acquired::Conflict) => turn.tell(Known::Conflict),
                        Ok(Acquired::InFlight) => turn.tell(Known::InFlight { here: false }),
                        Err(failure) => turn.tell(Known::Failed(failure)),
                    }
                    // This request is told like everybody else.
                    continue;
                }
                Look::Known(Known::Replay(record)) => return Err(Answer::Replay(record)),
                Look::Known(Known::Conflict) => return Err(Answer::Conflict),
                // To a request that waits already, a question that failed says nothing of the run that it waits for.
                Look::Known(Known::Failed(StoreError::Unavailable(_))) if is_in_flight => true,
                Look::Known(Known::Failed(failure)) => return Err(Answer::Unavailable(failure)),
                Look::Known(Known::InFlight { .. }) if wait.is_zero() => return Err(Answer::InFlight),
                Look::Known(Known::InFlight { here }) => {
                    (is_in_flight, deadline) = (true, wait_until);
                    !here
                }
                Look::Asking => false,
            };
            if place.is_none() {
                place = self.limits.wait();
                if place.is_none() {
                    return Err(Answer::InFlight);
                }
            }
            if is_elsewhere && watching.is_none() {
                watching = entry.leader().map(Watching::new);
            }
            let news = async {
                match watching.as_mut().filter(|_| is_elsewhere) {
                    Some(watching) => watching.news(self.store, entry.claim()).await,
                    None => std::future::pending().await,
                }
            };
            let waiting = async {
                tokio::select! {
                    biased;
                    () = &mut gone => return Err(Answer::InFlight),
                    () = entry.changed_since(version) => {}
                    () = tokio::time::sleep_until(deadline) => {
                        let late = || Answer::Unavailable(too_late(store_timeout));
                        return Err(if is_in_flight { Answer::InFlight } else { late() });
                    }
                    () = news => {}
                }
                Ok(())
            };
            // Boxed, because a request that need not wait need not carry it.
            Box::pin(waiting).await?;
        }
    }

    /// Has what the work runs by where there is no key that anybody else could have.
    pub(crate) async fn acquire_alone<G, R, A>(&self, ask: impl Fn() -> A) -> Result<Acquisition<G>, Answer<R>>
    where
        A: Future<Output = Result<Acquired<G>, StoreError>>,
    {
        let admission = self.limits.admit().map_err(Answer::Overloaded)?;
        let grant = ask().await.map_err(Answer::Unavailable)?.ours()?;
        Ok(Acquisition { grant, turn: None, admission })
    }
}

/// Far enough for whoever waits for ever, and within what a clock can say.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

fn after(begun: Instant, duration: Duration) -> Instant {
    begun + duration.min(FOR_EVER)
}
