use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{
    Claim, ClaimOutcome, Completion, IdempotencyRecord, IdempotencyStore, LeaseState, ReservationOutcome, StoreError,
};

/// Keys that share a shard wait for each other, so there are more shards than threads that could meet in one.
const SHARDS: usize = 64;

/// What stands in a record for a retention that no timestamp can hold.
const FAR: Duration = Duration::from_hours(100 * 365 * 24);

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

    fn claim(&self, claim: &Claim<'_>) -> ClaimOutcome {
        let names = (claim.principal, claim.key);
        let (found, hash) = {
            let mut rows = self.shared.rows_of(names);
            let now = Instant::now();
            match rows.get_mut(names) {
                Some(row) if !row.is_dead_to(claim.request_hash, now) => {
                    if row.request_hash != claim.request_hash {
                        return ClaimOutcome::Conflict;
                    }
                    let Some(outcome) = row.outcome.clone() else { return ClaimOutcome::InFlight };
                    ((outcome, row.created_at, row.expires_at), row.request_hash)
                }
                dead => {
                    let attempt = dead.map_or(1, |row| row.next_attempt(now));
                    let row = Row::new(claim, attempt, now);
                    let token = row.token;
                    rows.put(names, row);
                    return ClaimOutcome::Reserved { token, attempt };
                }
            }
        };
        // The shard is free again: copying a body of megabytes must not hold up the keys beside it.
        let (outcome, created_at, expires_at) = found;
        ClaimOutcome::Replay(IdempotencyRecord {
            key: claim.key.to_owned(),
            principal_fingerprint: claim.principal.to_owned(),
            request_hash: hash,
            response_status: outcome.status,
            response_headers: outcome.headers.to_vec(),
            response_body: outcome.body.to_vec(),
            created_at,
            expires_at,
        })
    }

    fn record(&self, names: (&str, &str), token: Uuid, outcome: Outcome) -> LeaseState {
        let mut rows = self.shared.rows_of(names);
        match rows.get_mut(names).filter(|row| row.token == token) {
            Some(row) => {
                row.outcome.get_or_insert(outcome);
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
        let retention = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(self.claim(&Claim { principal, key, request_hash, lease: retention, retention }).into())
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
        let outcome = Outcome { status, headers: Bytes::copy_from_slice(headers), body: Bytes::copy_from_slice(body) };
        self.record((principal, key), token, outcome);
        Ok(())
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        let names = (principal, key);
        let mut rows = self.shared.rows_of(names);
        let running = |row: &&mut Row| row.token == token && row.outcome.is_none();
        match rows.get_mut(names).filter(running) {
            Some(row) if row.attempt > 1 => row.lease = Deadline::At(Instant::now()),
            Some(_) => rows.remove(names),
            None => {}
        }
        Ok(())
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        Ok(self.claim(&claim))
    }

    async fn renew(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        lease: Duration,
        retention: Duration,
    ) -> Result<LeaseState, StoreError> {
        let names = (principal, key);
        let mut rows = self.shared.rows_of(names);
        let now = Instant::now();
        let running = |row: &&mut Row| row.token == token && row.outcome.is_none();
        let Some(row) = rows.get_mut(names).filter(running) else { return Ok(LeaseState::Lost) };
        let expires = row.expires.max(Deadline::after(now, retention));
        rows.keep_until(names, expires);
        let Some(row) = rows.get_mut(names) else { return Ok(LeaseState::Lost) };
        row.expires_at = row.expires_at.max(timestamp_after(SystemTime::now(), retention));
        row.lease = Deadline::after(now, lease).min(row.expires);
        Ok(LeaseState::Held)
    }

    async fn finish(&self, completion: Completion<'_>) -> Result<LeaseState, StoreError> {
        let Completion { principal, key, token, status, headers, body } = completion;
        let outcome = Outcome { status, headers: Bytes::copy_from_slice(headers), body: body.clone() };
        Ok(self.record((principal, key), token, outcome))
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
            let now = Instant::now();
            let left = usize::try_from(limit - deleted).unwrap_or(usize::MAX);
            deleted += rows.sweep(now, left);
        }
        Ok(deleted)
    }
}

struct Shared {
    hasher: RandomState,
    shards: [Mutex<Rows>; SHARDS],
    swept: AtomicUsize,
}

/// The rows of a shard, found by their names, and by when they expire.
#[derive(Default)]
struct Rows {
    by_name: HashMap<Slot, Row>,
    by_expiry: BTreeMap<(Deadline, u64), Slot>,
    /// Tells rows apart that expire at the same moment.
    numbered: u64,
}

impl Rows {
    fn get_mut(&mut self, names: (&str, &str)) -> Option<&mut Row> {
        self.by_name.get_mut(&names as &dyn Names)
    }

    fn put(&mut self, names: (&str, &str), mut row: Row) {
        let slot = match self.by_name.get(&names as &dyn Names) {
            Some(old) => self.by_expiry.remove(&(old.expires, old.number)),
            None => None,
        };
        let slot = slot.unwrap_or_else(|| Slot::new(names));
        self.numbered += 1;
        row.number = self.numbered;
        self.by_expiry.insert((row.expires, row.number), slot.clone());
        self.by_name.insert(slot, row);
    }

    fn keep_until(&mut self, names: (&str, &str), expires: Deadline) {
        let Some(row) = self.by_name.get_mut(&names as &dyn Names) else { return };
        if let Some(slot) = self.by_expiry.remove(&(row.expires, row.number)) {
            row.expires = expires;
            self.by_expiry.insert((expires, row.number), slot);
        }
    }

    fn remove(&mut self, names: (&str, &str)) {
        if let Some(row) = self.by_name.remove(&names as &dyn Names) {
            self.by_expiry.remove(&(row.expires, row.number));
        }
    }

    /// Deletes up to `limit` rows that have expired, and says how many.
    fn sweep(&mut self, now: Instant, limit: usize) -> u64 {
        let mut deleted = 0;
        for _ in 0..limit {
            let Some(first) = self.by_expiry.first_entry().filter(|first| first.key().0.passed(now)) else { break };
            let slot = first.remove();
            self.by_name.remove(&slot);
            deleted += 1;
        }
        if self.by_name.len() < self.by_name.capacity() / 4 {
            self.by_name.shrink_to(self.by_name.len() * 2);
        }
        deleted
    }
}

impl Shared {
    fn rows_of(&self, names: (&str, &str)) -> MutexGuard<'_, Rows> {
        let hash = self.hasher.hash_one(names);
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        lock(&self.shards[shard])
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            swept: AtomicUsize::new(0),
        }
    }
}

/// Every change to a shard is whole before anything in it can panic, so a poisoned one is as good as any.
fn lock(shard: &Mutex<Rows>) -> MutexGuard<'_, Rows> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Row {
    number: u64,
    token: Uuid,
    attempt: u32,
    request_hash: [u8; 32],
    lease: Deadline,
    expires: Deadline,
    created_at: SystemTime,
    expires_at: SystemTime,
    outcome: Option<Outcome>,
}

impl Row {
    fn new(claim: &Claim<'_>, attempt: u32, now: Instant) -> Self {
        let expires = Deadline::after(now, claim.retention);
        let created_at = SystemTime::now();
        Self {
            number: 0,
            token: Uuid::new_v4(),
            attempt,
            request_hash: claim.request_hash,
            lease: Deadline::after(now, claim.lease).min(expires),
            expires,
            created_at,
            expires_at: timestamp_after(created_at, claim.retention),
            outcome: None,
        }
    }

    /// Whether this request may take the row over. The effect of a reservation whose lease is over may have happened, so
    /// until the row expires only its own request may.
    fn is_dead_to(&self, request_hash: [u8; 32], now: Instant) -> bool {
        let is_its_own = self.request_hash == request_hash;
        self.expires.passed(now) || (self.outcome.is_none() && is_its_own && self.lease.passed(now))
    }

    fn next_attempt(&self, now: Instant) -> u32 {
        if self.outcome.is_none() && !self.expires.passed(now) { self.attempt.saturating_add(1) } else { 1 }
    }
}

#[derive(Clone)]
struct Outcome {
    status: u16,
    headers: Bytes,
    body: Bytes,
}

/// An end that may lie beyond what the clock can say. The order of the variants is the order in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deadline {
    At(Instant),
    Never,
}

impl Deadline {
    fn after(now: Instant, duration: Duration) -> Self {
        now.checked_add(duration).map_or(Self::Never, Self::At)
    }

    fn passed(self, now: Instant) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Never => false,
        }
    }
}

fn timestamp_after(now: SystemTime, duration: Duration) -> SystemTime {
    now.checked_add(duration).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

#[derive(Clone, PartialEq, Eq)]
struct Slot {
    /// The principal and then the key, in one allocation.
    both: Arc<str>,
    principal: usize,
}

impl Slot {
    fn new((principal, key): (&str, &str)) -> Self {
        Self { both: [principal, key].concat().into(), principal: principal.len() }
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

/// Lets two borrowed names find an owned [`Slot`], so that a lookup allocates nothing.
trait Names {
    fn names(&self) -> (&str, &str);
}

impl Names for Slot {
    fn names(&self) -> (&str, &str) {
        self.both.split_at(self.principal)
    }
}

impl Names for (&str, &str) {
    fn names(&self) -> (&str, &str) {
        *self
    }
}

impl PartialEq for dyn Names + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for dyn Names + '_ {}

impl Hash for dyn Names + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

impl<'a> Borrow<dyn Names + 'a> for Slot {
    fn borrow(&self) -> &(dyn Names + 'a) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: &str, lease: Duration, retention: Duration) -> Claim<'_> {
        Claim { principal: "alice", key, request_hash: [1; 32], lease, retention }
    }

    fn rows(store: &MemoryStore) -> usize {
        store.shared.shards.iter().map(|shard| lock(shard).by_name.len()).sum()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn no_duration_is_too_long() {
        let store = MemoryStore::new();
        let endless = claim("k", Duration::MAX, Duration::MAX);
        let ClaimOutcome::Reserved { token, attempt: 1 } = store.reserve(endless).await.unwrap() else { panic!() };
        assert_eq!(store.renew("alice", "k", token, Duration::MAX, Duration::MAX).await, Ok(LeaseState::Held));
        assert_eq!(store.reserve(endless).await, Ok(ClaimOutcome::InFlight));
        store.complete("alice", "k", token, 200, &[], &[]).await.unwrap();
        let Ok(ClaimOutcome::Replay(record)) = store.reserve(endless).await else { panic!() };
        assert!(record.expires_at > record.created_at);
    }

    #[tokio::test]
    async fn sweep_frees_what_expired_and_gets_round_to_every_shard() {
        let store = MemoryStore::new();
        for n in 0..500 {
            store.reserve(claim(&format!("dead {n}"), Duration::ZERO, Duration::ZERO)).await.unwrap();
            store.reserve(claim(&format!("silent {n}"), Duration::ZERO, HOUR)).await.unwrap();
        }
        assert_eq!(store.sweep(0).await, Ok(0));
        assert_eq!(store.sweep(7).await, Ok(7));
        let mut deleted = 7;
        for _ in 0..500 {
            deleted += store.sweep(3).await.unwrap();
        }
        assert_eq!((deleted, rows(&store)), (500, 500));
        let both = |shard| {
            let rows = lock(shard);
            rows.by_name.len() == rows.by_expiry.len()
        };
        assert!(store.shared.shards.iter().all(both));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_finds_what_expires_however_often_that_changed() {
        let store = MemoryStore::new();
        let minute = Duration::from_mins(1);
        let reserved = async |key: &str, retention| match store.reserve(claim(key, Duration::ZERO, retention)).await {
            Ok(ClaimOutcome::Reserved { token, .. }) => token,
            other => panic!("{other:?}"),
        };
        let renewed = reserved("renewed", minute).await;
        store.renew("alice", "renewed", renewed, minute, HOUR).await.unwrap();
        let released = reserved("released", minute).await;
        store.release("alice", "released", released).await.unwrap();
        reserved("taken over", HOUR).await;
        reserved("taken over", minute).await;
        reserved("expired", minute).await;
        assert_eq!(store.sweep(9).await, Ok(0));
        tokio::time::advance(minute).await;
        assert_eq!((store.sweep(9).await, rows(&store)), (Ok(2), 1));
        tokio::time::advance(HOUR).await;
        assert_eq!((store.sweep(9).await, rows(&store)), (Ok(1), 0));
        assert!(store.shared.shards.iter().all(|shard| lock(shard).by_expiry.is_empty()));
    }

    #[tokio::test]
    async fn a_poisoned_shard_keeps_working() {
        let store = MemoryStore::new();
        let holder = store.clone();
        std::thread::spawn(move || {
            let _guards: Vec<_> = holder.shared.shards.iter().map(lock).collect();
            panic!("poisons every shard");
        })
        .join()
        .unwrap_err();
        assert!(matches!(store.reserve(claim("k", HOUR, HOUR)).await, Ok(ClaimOutcome::Reserved { .. })));
    }

    #[test]
    fn borrowed_names_find_the_slot() {
        let hasher = RandomState::new();
        let names = ("alice", "k");
        assert_eq!(hasher.hash_one(Slot::new(names)), hasher.hash_one(&names as &dyn Names));
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", MemoryStore::new()), "MemoryStore { .. }");
    }
}
