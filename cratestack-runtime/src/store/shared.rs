//! A store in an `Arc` is the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use super::at_once::AtOnce;
use super::claim::{Claim, Completion};
use super::contract::IdempotencyStore;
use super::error::StoreError;
use super::outcome::{ClaimOutcome, LeaseState, ReservationOutcome};
use super::records::{RecordInfo, RecordQuery, Removal, RemovalOutcome, RemovedAll};
use super::steps::{RecordedStep, StepRecord};
use super::watch::{ClockSample, Watch};

#[async_trait]
impl<S: IdempotencyStore + ?Sized> IdempotencyStore for Arc<S> {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        (**self).reserve_or_fetch(principal, key, request_hash, expires_at).await
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
        (**self).complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        (**self).release(principal, key, token).await
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        (**self).reserve(claim).await
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        (**self).renew(principal, key, token, lease, retention).await
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        (**self).finish(completion).await
    }

    fn keeps_steps(&self) -> bool {
        (**self).keeps_steps()
    }

    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        (**self).record_step(step).await
    }

    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        (**self).steps(principal, key, token).await
    }

    async fn watch(&self, principal: &str, key: &str) -> Result<Option<Watch>, StoreError> {
        (**self).watch(principal, key).await
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        (**self).now().await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        (**self).sweep(limit).await
    }

    async fn show(&self, principal: &str, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        (**self).show(principal, key).await
    }

    async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        (**self).list(query).await
    }

    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        (**self).remove(principal, key, removal).await
    }

    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        (**self).remove_all_of(principal, removal, limit).await
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        (**self).at_once()
    }
}
