use std::time::Duration;

use tracing::debug;

use super::keys::Leader;
use crate::engine::model::OwnedClaim;
use crate::engine::store_call::{store_call, too_late};
use crate::store::{IdempotencyStore, Watch};
use crate::util::{catch_panic, timeout};

/// The store is asked again this long after the first time, then at growing intervals.
const FIRST_POLL: Duration = Duration::from_millis(100);
const MAX_UNWATCHED_POLL: Duration = Duration::from_secs(1);
/// With a watch the poll is only the safety net.
const WATCHED_POLL: Duration = Duration::from_secs(2);
/// How long a store may take to begin a watch before it is polled instead, for this once.
const WATCH_TIMEOUT: Duration = Duration::from_secs(1);
/// So many watches of one key may tell of nothing before each has to pause for [`FIRST_POLL`].
const MAX_FALSE_ALARMS: u32 = 8;

/// Looks out for the end of a run elsewhere, for all who wait for it here.
pub(super) struct Watching {
    _leader: Leader,
    watch: Option<Watch>,
    poll: Duration,
    alarms: u32,
}

impl Watching {
    pub(super) fn new(leader: Leader) -> Self {
        Self { _leader: leader, watch: None, poll: FIRST_POLL, alarms: 0 }
    }

    /// Returns when the store is to be asked again.
    pub(super) async fn news(&mut self, store: &dyn IdempotencyStore, claim: &OwnedClaim) {
        if self.watch.is_none() {
            let watching = async { store.watch(claim.id.principal(), claim.id.key()).await };
            let answer = timeout(WATCH_TIMEOUT, store_call(watching)).await;
            self.watch = answer.unwrap_or_else(|_| Err(too_late(WATCH_TIMEOUT))).unwrap_or_else(|error| {
                debug!(%error, "idempotency waiters poll: the store cannot watch");
                None
            });
            if self.watch.is_some() {
                // What happened between the store's answer and the watch would be missed, so it is asked once more.
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
                // A watch tells once: whatever happens next needs a watch of its own.
                self.watch = None;
                self.alarms += 1;
                if self.alarms > MAX_FALSE_ALARMS {
                    tokio::time::sleep(FIRST_POLL).await;
                }
            }
            () = tokio::time::sleep(self.poll) => self.poll = (self.poll * 2).min(MAX_UNWATCHED_POLL.max(self.poll)),
        }
    }
}
