use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::{Instrument, warn};

use super::guard::Hold;
use crate::store::{IdempotencyStore, Tenure};

/// Keeps a reservation alive from the moment it is made until this is dropped.
///
/// It renews from a task of its own, because a handler that blocks its thread would starve a heartbeat beside it.
#[derive(Debug)]
pub(crate) struct Lease {
    heartbeat: AbortHandle,
    lost: Arc<AtomicBool>,
}

impl Lease {
    pub(crate) fn keep(store: Arc<dyn IdempotencyStore>, hold: Arc<Hold>) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let heartbeat = beat(store, hold, Arc::clone(&lost)).in_current_span();
        Self { heartbeat: tokio::spawn(heartbeat).abort_handle(), lost }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

/// A renewal may fail twice in a row before the lease ends.
const BEATS_PER_LEASE: u32 = 3;
/// After a failed renewal the next one does not wait for its turn.
const RETRIES_PER_BEAT: u32 = 4;

async fn beat(store: Arc<dyn IdempotencyStore>, hold: Arc<Hold>, lost: Arc<AtomicBool>) {
    let claim = &hold.claim;
    let turn = claim.lease / BEATS_PER_LEASE;
    let mut pause = turn;
    loop {
        tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
        let renewal = store.renew(&claim.principal, &claim.key, hold.token, claim.lease, claim.retention);
        pause = match tokio::time::timeout(turn, renewal).await {
            Ok(Ok(Tenure::Held)) => turn,
            Ok(Ok(Tenure::Unknown)) => return,
            Ok(Ok(Tenure::Lost)) => {
                lost.store(true, Ordering::Release);
                warn!(attempt = hold.attempt, "idempotency lease lost: another run has taken this request over");
                return;
            }
            Ok(Err(error)) => {
                warn!(%error, "idempotency lease not renewed; trying again");
                turn / RETRIES_PER_BEAT
            }
            Err(_) => turn / RETRIES_PER_BEAT,
        };
    }
}
