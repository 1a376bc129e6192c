use bytes::Bytes;
use uuid::Uuid;

use super::claim::Claim;
use super::outcome::{ClaimOutcome, LeaseState};
use super::record_id::RecordId;

/// A store that has its answers at once, because it lies in this process: a call of it needs neither a future nor
/// copies of what it is told. What it answers is what its asynchronous methods answer.
pub trait AtOnce: Send + Sync {
    /// [`IdempotencyStore::reserve`](super::IdempotencyStore::reserve)
    fn reserve_at_once(&self, id: &RecordId, claim: &Claim<'_>) -> ClaimOutcome;

    /// [`IdempotencyStore::finish`](super::IdempotencyStore::finish)
    fn finish_at_once(&self, id: &RecordId, token: Uuid, status: u16, headers: Vec<u8>, body: Bytes) -> LeaseState;
}
