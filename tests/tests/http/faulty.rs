//! A store that fails, hangs or loses when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, LeaseState, MemoryStore, ReservationOutcome,
    StoreError, async_trait,
};
use uuid::Uuid;

use crate::app::App;

/// A memory store whose faults can be switched on.
#[derive(Default)]
pub struct Faulty {
    pub inner: MemoryStore,
    pub down: AtomicBool,
    pub panics: AtomicBool,
    /// The answer to a reservation takes a minute.
    pub deaf: AtomicBool,
    pub no_heartbeat: AtomicBool,
    /// A renewal takes three seconds to reach the rows, and the answer to a release five to come back.
    pub slow: AtomicBool,
    /// How many milliseconds the answer to a reservation takes, after it was written.
    pub answers_after_ms: AtomicU64,
    pub finishes: AtomicUsize,
}

impl Faulty {
    fn reach(&self) -> Result<(), StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "told to panic");
        if self.down.load(Ordering::SeqCst) { Err(StoreError::Unavailable("switched off".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl IdempotencyStore for Faulty {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.inner.reserve_or_fetch(principal, key, request_hash, expires_at).await
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        self.reach()?;
        let released = self.inner.release(principal, key, token).await;
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        released
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        self.reach()?;
        let outcome = self.inner.reserve(claim).await;
        if self.deaf.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        if matches!(outcome, Ok(ClaimOutcome::Reserved { .. })) {
            tokio::time::sleep(Duration::from_millis(self.answers_after_ms.load(Ordering::SeqCst))).await;
        }
        outcome
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        if self.no_heartbeat.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("no heartbeat".to_owned()));
        }
        self.reach()?;
        if self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        self.inner.renew(principal, key, token, lease, retention).await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        self.finishes.fetch_add(1, Ordering::SeqCst);
        self.reach()?;
        self.inner.finish(completion).await
    }
}

pub fn faulty() -> (App, Arc<Faulty>) {
    let store = Arc::new(Faulty::default());
    (App::over(Idempotency::new(Arc::clone(&store)).lease(Duration::from_secs(30))), store)
}
