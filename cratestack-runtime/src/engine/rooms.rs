use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use super::guard::OwnedClaim;
use super::places::Places;
use super::reserve::{Ask, Reserved};
use crate::store::{IdempotencyRecord, IdempotencyStore, StoreError};

/// Where the duplicates of running requests wait, one room per request.
///
/// Of all who wait in a room one asks the store and the others wait for it, so that many waiters cost no more statements
/// than one. Whoever ends a reservation in this process knocks; for the rest there is the store's own watch, and a slow
/// poll in case that fails.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Arc<Places<Name, Room>>,
}

type Name = (String, String, [u8; 32]);

#[derive(Debug, Default)]
struct Room {
    lead: tokio::sync::Mutex<()>,
    knock: Notify,
    outcome: OnceLock<Arc<IdempotencyRecord>>,
}

/// Asked again this long after the first time, then at growing intervals.
const FIRST_POLL: Duration = Duration::from_millis(100);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// With a watch the poll is only the safety net.
const WATCHED_POLL: Duration = Duration::from_secs(2);

impl Rooms {
    /// Has the key, or waits for the outcome of whoever has it. After `patience`, or once the caller is `gone`, the
    /// request is in flight still.
    pub(crate) async fn wait<A: Ask>(
        &self,
        store: &dyn IdempotencyStore,
        claim: &OwnedClaim,
        patience: Duration,
        question: &A,
        gone: impl Future<Output = ()>,
    ) -> Result<Reserved<A::Grant>, StoreError> {
        let deadline = Instant::now() + patience;
        let mut gone = pin!(gone);
        let room = self.rooms.enter(name(claim));
        let _lead = tokio::select! {
            biased;
            () = tokio::time::sleep_until(deadline) => return Ok(Reserved::InFlight),
            () = &mut gone => return Ok(Reserved::InFlight),
            lead = room.lead.lock() => lead,
        };
        if let Some(record) = room.outcome.get() {
            return Ok(Reserved::Replay(Arc::clone(record)));
        }
        let mut watch = None;
        let mut poll = FIRST_POLL;
        loop {
            match question.ask().await? {
                Reserved::InFlight => {}
                Reserved::Replay(record) => {
                    return Ok(Reserved::Replay(Arc::clone(room.outcome.get_or_init(|| record))));
                }
                other => return Ok(other),
            }
            if watch.is_none() {
                let watched = tokio::select! {
                    biased;
                    () = &mut gone => return Ok(Reserved::InFlight),
                    watched = store.watch(&claim.principal, &claim.key) => watched,
                    // It may have to wait itself, for a commit that takes its time or for a connection.
                    () = tokio::time::sleep_until(deadline) => return Ok(Reserved::InFlight),
                };
                watch = watched.unwrap_or_else(|error| {
                    debug!(%error, "idempotency waiters poll: the store cannot watch");
                    None
                });
                if watch.is_some() {
                    // What happened between the answer and the watch would be missed.
                    poll = WATCHED_POLL;
                    continue;
                }
            }
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut gone => return Ok(Reserved::InFlight),
                () = room.knock.notified() => {}
                // Told once: whatever happens next needs a watch of its own.
                () = changed => watch = None,
                () = tokio::time::sleep_until(deadline) => return Ok(Reserved::InFlight),
                () = tokio::time::sleep(poll) => poll = (poll * 2).min(SLOWEST_POLL.max(poll)),
            }
        }
    }

    /// Tells who waits for this reservation that it has ended.
    pub(crate) fn knock(&self, claim: &OwnedClaim) {
        // Hardly ever does anybody wait, and a name costs something.
        if self.rooms.is_empty() {
            return;
        }
        if let Some(room) = self.rooms.find(&name(claim)) {
            room.knock.notify_one();
        }
    }
}

fn name(claim: &OwnedClaim) -> Name {
    (claim.principal.clone(), claim.key.clone(), claim.request_hash)
}
