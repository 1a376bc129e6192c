use std::time::{Duration, SystemTime};

use cratestack_runtime::testing::TestStore;
use cratestack_runtime::{CoolError, IdempotencyStore, MemoryStore, ReservationOutcome, async_trait};
use uuid::Uuid;

/// A store of the original trait's three methods and nothing else, written with that trait's names.
#[derive(Debug, Clone, Default)]
pub struct ThreeMethods(MemoryStore);

#[async_trait]
impl IdempotencyStore for ThreeMethods {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, CoolError> {
        self.0.reserve_or_fetch(principal, key, request_hash, expires_at).await
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), CoolError> {
        self.0.complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), CoolError> {
        self.0.release(principal, key, token).await
    }
}

#[async_trait]
impl TestStore for ThreeMethods {
    fn of_another_process(&self) -> Self {
        self.clone()
    }

    async fn advance(&self, by: Duration) -> Result<(), CoolError> {
        self.0.advance(by).await
    }

    async fn longest_lease(&self) -> Result<Duration, CoolError> {
        self.0.longest_lease().await
    }
}
