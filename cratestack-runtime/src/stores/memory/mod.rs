mod records;
mod rows;
#[cfg(all(feature = "axum", feature = "testing"))]
mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::rows::{Deadline, Row, RowOutcome, Rows, timestamp_after};
use crate::store::{
    AtOnce, Claim, ClaimOutcome, Completion, HashedId, IdempotencyRecord, IdempotencyStore, LeaseState, RecordId,
    RecordIdRef, RecordInfo, RecordQuery, RecordedStep, Removal, RemovalOutcome, RemovedAll, ReservationOutcome,
    StepRecord, StoreError,
};
use crate::util::lock;

/// Keys that share a shard wait for each other, so there are more shards than threads that could meet in one.
const SHARDS: usize = 64;

/// Keeps reservations and outcomes in this process: for tests, and for services of one process that may forget
/// everything when they stop.
///
/// Clones share their content. Deadlines are measured on tokio's clock, so a test that pauses the clock can step over a
/// lease; the timestamps of a record come from the system's clock.
///
/// Rows that expired are invisible but keep their memory until their key is reserved again or
/// [`sweep`](IdempotencyStore::sweep) deletes them: a process that runs for long has to sweep from time to time.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use cratestack_runtime::{IdempotencyStore, MemoryStore, ReservationOutcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
/// let store = MemoryStore::new();
/// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
///
/// let first = store.reserve_or_fetch("alice", "8e03978e", [7; 32], tomorrow).await?;
/// let ReservationOutcome::Reserved { token } = first else { panic!("a fresh key is reserved") };
/// store.complete("alice", "8e03978e", token, 201, &[], b"paid").await?;
///
/// let again = store.clone().reserve_or_fetch("alice", "8e03978e", [7; 32], tomorrow).await?;
/// assert!(matches!(again, ReservationOutcome::Replay(record) if record.response_body == b"paid"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// ```
    /// let store = cratestack_runtime::MemoryStore::new();
    /// # let _ = store;
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    fn claim(&self, id: HashedId<'_>, owned: impl FnOnce() -> RecordId, claim: &Claim<'_>) -> ClaimOutcome {
        let (outcome, created_at, expires_at) = {
            let mut rows = self.shared.rows_of(id);
            let now = self.shared.now();
            match rows.get_mut(id) {
                Some(row) if !row.is_dead_to(claim.request_hash, now) => {
                    if row.request_hash != claim.request_hash {
                        return ClaimOutcome::Conflict;
                    }
                    let Some(outcome) = row.outcome.clone() else { return ClaimOutcome::InFlight };
                    (outcome, row.created_at, row.expires_at)
                }
                dead => {
                    let row = dead.map_or_else(|| Row::new(claim, 1, now), |dead| dead.succeeded_by(claim, now));
                    let (token, attempt) = (row.token, row.attempt);
                    rows.put(id, owned, row);
                    return ClaimOutcome::Reserved { token, attempt };
                }
            }
        };
        // The shard is free again: copying a body of megabytes must not hold up the keys beside it.
        ClaimOutcome::Replay(IdempotencyRecord {
            key: claim.key.to_owned(),
            principal_fingerprint: claim.principal.to_owned(),
            request_hash: claim.request_hash,
            response_status: outcome.status,
            response_headers: outcome.headers.to_vec(),
            response_body: outcome.body.to_vec(),
            created_at,
            expires_at,
        })
    }

    fn record(&self, id: HashedId<'_>, token: Uuid, outcome: RowOutcome) -> LeaseState {
        let mut rows = self.shared.rows_of(id);
        match rows.get_mut(id).filter(|row| row.token == token) {
            Some(row) => {
                row.outcome.get_or_insert(outcome);
                row.steps = Vec::new();
                LeaseState::Held
            }
            None => LeaseState::Lost,
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl IdempotencyStore for MemoryStore {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        let claim = Claim::until(principal, key, request_hash, expires_at);
        let id = claim.id().hashed();
        Ok(self.claim(id, || id.to_owned(), &claim).into())
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
        let outcome =
            RowOutcome { status, headers: Bytes::copy_from_slice(headers), body: Bytes::copy_from_slice(body) };
        self.record(RecordIdRef { principal, key }.hashed(), token, outcome);
        Ok(())
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        let id = RecordIdRef { principal, key }.hashed();
        let mut rows = self.shared.rows_of(id);
        let running = |row: &&mut Row| row.token == token && row.outcome.is_none();
        match rows.get_mut(id).filter(running) {
            Some(row) if row.attempt > 1 || !row.steps.is_empty() => row.lease = Deadline::At(self.shared.now()),
            Some(_) => rows.remove(id),
            None => {}
        }
        Ok(())
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let id = claim.id().hashed();
        Ok(self.claim(id, || id.to_owned(), &claim))
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let id = RecordIdRef { principal, key }.hashed();
        let mut rows = self.shared.rows_of(id);
        let now = self.shared.now();
        let running = |row: &&mut Row| row.token == token && row.outcome.is_none();
        let Some(row) = rows.get_mut(id).filter(running) else { return Ok(LeaseState::Lost) };
        let expires = row.expires.max(Deadline::after(now, retention));
        rows.keep_until(id, expires);
        let Some(row) = rows.get_mut(id) else { return Ok(LeaseState::Lost) };
        row.expires_at = row.expires_at.max(timestamp_after(SystemTime::now(), retention));
        row.lease = Deadline::after(now, lease).min(row.expires);
        Ok(LeaseState::Held)
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        let Completion { token, status, headers, body, .. } = completion;
        let outcome = RowOutcome { status, headers: Bytes::copy_from_slice(headers), body: body.clone() };
        Ok(self.record(completion.id().hashed(), token, outcome))
    }

    fn keeps_steps(&self) -> bool {
        true
    }

    async fn record_step(&self, step: StepRecord<'_>) -> Result<LeaseState, StoreError> {
        let id = step.id().hashed();
        let mut rows = self.shared.rows_of(id);
        let running = |row: &&mut Row| row.token == step.token && row.outcome.is_none();
        let Some(row) = rows.get_mut(id).filter(running) else { return Ok(LeaseState::Lost) };
        if row.steps.iter().all(|recorded| recorded.name != step.name) {
            row.steps.push(RecordedStep { name: step.name.to_owned(), value: step.value.to_vec() });
        }
        Ok(LeaseState::Held)
    }

    async fn steps(&self, principal: &str, key: &str, token: Uuid) -> Result<Vec<RecordedStep>, StoreError> {
        let id = RecordIdRef { principal, key }.hashed();
        let mut rows = self.shared.rows_of(id);
        let row = rows.get_mut(id).filter(|row| row.token == token);
        Ok(row.map_or_else(Vec::new, |row| row.steps.clone()))
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = u64::from(limit);
        // Each sweep starts where another left off, so that a small limit still gets round to every shard.
        let start = self.shared.swept.load(Ordering::Relaxed);
        let mut deleted = 0;
        for shard in start..start.saturating_add(SHARDS) {
            if deleted == limit {
                break;
            }
            self.shared.swept.store(shard % SHARDS, Ordering::Relaxed);
            let mut rows = lock(&self.shared.shards[shard % SHARDS]);
            let now = self.shared.now();
            let left = usize::try_from(limit - deleted).unwrap_or(usize::MAX);
            deleted += rows.sweep(now, left);
        }
        Ok(deleted)
    }

    async fn show(&self, principal: &str, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        Ok(self.info(RecordIdRef { principal, key }.hashed()))
    }

    async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        Ok(self.infos(query))
    }

    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        Ok(self.remove_one(RecordIdRef { principal, key }.hashed(), removal))
    }

    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        Ok(self.remove_many(principal, removal, limit))
    }

    fn at_once(&self) -> Option<&dyn AtOnce> {
        Some(self)
    }
}

impl AtOnce for MemoryStore {
    fn reserve_at_once(&self, id: &RecordId, claim: &Claim<'_>) -> ClaimOutcome {
        self.claim(id.hashed(), || id.clone(), claim)
    }

    fn finish_at_once(&self, id: &RecordId, token: Uuid, status: u16, headers: Vec<u8>, body: Bytes) -> LeaseState {
        self.record(id.hashed(), token, RowOutcome { status, headers: headers.into(), body })
    }
}

struct Shared {
    shards: [Mutex<Rows>; SHARDS],
    swept: AtomicUsize,
    /// How far tests have put its clock forward.
    #[cfg(feature = "testing")]
    ahead: Mutex<Duration>,
}

impl Shared {
    #[cfg_attr(not(feature = "testing"), expect(clippy::unused_self, reason = "only tests have another clock"))]
    fn now(&self) -> Instant {
        let now = Instant::now();
        #[cfg(feature = "testing")]
        let now = now.checked_add(*lock(&self.ahead)).unwrap_or(now);
        now
    }

    fn rows_of(&self, id: HashedId<'_>) -> MutexGuard<'_, Rows> {
        lock(&self.shards[id.shard(SHARDS)])
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            swept: AtomicUsize::new(0),
            #[cfg(feature = "testing")]
            ahead: Mutex::default(),
        }
    }
}
