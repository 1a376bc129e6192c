use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::guard::Hold;
use crate::store::{IdempotencyStore, StoreError, Tenure};

/// Keeps a reservation alive while something goes on.
///
/// The heartbeat runs on the task that supervises the handler, and the handler on another: one that blocks its thread
/// does not starve it.
pub(crate) struct Lease {
    store: Arc<dyn IdempotencyStore>,
    hold: Arc<Hold>,
    /// `None` once there is nothing left to renew.
    next: Option<Instant>,
    lost: bool,
}

/// A renewal may fail twice in a row before the lease ends.
const BEATS_PER_LEASE: u32 = 3;
/// After a failed renewal the next one does not wait for its turn.
const RETRIES_PER_BEAT: u32 = 4;

impl Lease {
    pub(crate) fn new(store: Arc<dyn IdempotencyStore>, hold: Arc<Hold>) -> Self {
        let next = Some(Instant::now() + turn(&hold));
        Self { store, hold, next, lost: false }
    }

    /// Whether a renewal found that another reservation has taken the key over.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Lets the lease run out.
    pub(crate) fn abandon(&mut self) {
        self.next = None;
    }

    /// Renews the lease until the future is ready.
    pub(crate) async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let Some(next) = self.next else { return future.await };
            let beat = async {
                tokio::time::sleep_until(next).await;
                self.renew().await
            };
            let renewal = tokio::select! {
                biased;
                output = &mut future => return output,
                renewal = beat => renewal,
            };
            self.note(renewal);
        }
    }

    async fn renew(&self) -> Result<Tenure, StoreError> {
        let claim = &self.hold.claim;
        let renewal = self.store.renew(&claim.principal, &claim.key, self.hold.token, claim.lease, claim.retention);
        tokio::time::timeout(turn(&self.hold), renewal)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer to a renewal in time".to_owned())))
    }

    fn note(&mut self, renewal: Result<Tenure, StoreError>) {
        let turn = turn(&self.hold);
        self.next = match renewal {
            Ok(Tenure::Held) => Some(Instant::now() + turn),
            Ok(Tenure::Unknown) => None,
            Ok(Tenure::Lost) => {
                self.lost = true;
                None
            }
            Err(error) => {
                warn!(%error, "idempotency lease not renewed; trying again");
                Some(Instant::now() + turn / RETRIES_PER_BEAT)
            }
        };
    }
}

fn turn(hold: &Hold) -> Duration {
    (hold.claim.lease / BEATS_PER_LEASE).max(Duration::from_millis(1))
}
