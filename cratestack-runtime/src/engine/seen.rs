use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quick_cache::{Equivalent, Weighter};
use tokio::time::Instant;
use tracing::debug;

use super::caught;
use super::guard::{Hold, OwnedClaim};
use super::settle::Verdict;
use crate::store::{IdempotencyRecord, IdempotencyStore};

/// The outcomes that this process has seen. A finished outcome does not change until it expires, so whoever asks for it
/// again need not ask the store.
///
/// An outcome is never kept past its expiry: of one that was recorded here, the retention counts from before its
/// reservation was asked for; of one that the store told, from a reading of the store's clock. A store that shows no clock
/// has nothing kept of it.
#[derive(Debug)]
pub(crate) struct Seen {
    outcomes: quick_cache::sync::Cache<Name, Outcome, Weight>,
    bound: AtomicU64,
    clock: Clock,
}

/// What a process may spend on it unless it is told otherwise, in bytes.
const BOUND: u64 = 8 * 1024 * 1024;

/// What an entry costs besides its record's bytes, generously.
const OVERHEAD: usize = 512;

/// An outcome is let go this long before it expires, for clocks that do not go at the same rate.
const MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Outcome {
    record: Arc<IdempotencyRecord>,
    until: Instant,
    /// The same by the clock on the wall, which also went on while the machine was suspended. The earlier one counts.
    until_by_the_wall: SystemTime,
}

impl Outcome {
    fn has_expired(&self) -> bool {
        self.until <= Instant::now() || self.until_by_the_wall <= SystemTime::now()
    }
}

/// What was found of a claim.
#[derive(Debug)]
pub(crate) enum Found {
    Replay(Arc<IdempotencyRecord>),
    Conflict,
}

impl Default for Seen {
    fn default() -> Self {
        let outcomes = quick_cache::sync::Cache::with_weighter(1024, BOUND, Weight);
        Self { outcomes, bound: AtomicU64::new(BOUND), clock: Clock::default() }
    }
}

impl Seen {
    /// Keeps at most so many bytes; with 0, nothing.
    pub(crate) fn bound(&self, bytes: u64) {
        self.bound.store(bytes, Ordering::Relaxed);
        self.outcomes.set_capacity(bytes);
        if bytes == 0 {
            self.outcomes.clear();
        }
    }

    pub(crate) fn find(&self, claim: &OwnedClaim) -> Option<Found> {
        let name = Named { principal: &claim.principal, key: &claim.key };
        let outcome = self.outcomes.get(&name)?;
        if outcome.has_expired() {
            self.outcomes.remove(&name);
            return None;
        }
        Some(if outcome.record.request_hash == claim.request_hash {
            Found::Replay(outcome.record)
        } else {
            Found::Conflict
        })
    }

    pub(crate) fn forget(&self, principal: &str, key: &str) {
        self.outcomes.remove(&Named { principal, key });
    }

    /// Keeps what the store told.
    pub(crate) fn keep_told(self: &Arc<Self>, store: &Arc<dyn IdempotencyStore>, record: &Arc<IdempotencyRecord>) {
        if !self.has_room_for(&record.response_headers, &record.response_body) {
            return;
        }
        let Some(now) = Clock::now(self, store) else { return };
        let Ok(remaining) = record.expires_at.duration_since(now) else { return };
        self.keep(Arc::clone(record), Instant::now(), remaining);
    }

    /// Keeps what was recorded for a reservation that was asked for at `asked`.
    pub(crate) fn keep_recorded(
        self: &Arc<Self>,
        store: &Arc<dyn IdempotencyStore>,
        hold: &Hold,
        verdict: &Verdict,
        asked: Instant,
    ) {
        let Verdict::Record { status, headers, body } = verdict else { return };
        if !self.has_room_for(headers, body) || Clock::now(self, store).is_none() {
            return;
        }
        let claim = &hold.claim;
        let created_at = SystemTime::now().checked_sub(asked.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let record = IdempotencyRecord {
            key: claim.key.clone(),
            principal_fingerprint: claim.principal.clone(),
            request_hash: claim.request_hash,
            response_status: *status,
            response_headers: headers.clone(),
            response_body: body.to_vec(),
            created_at,
            expires_at: created_at.checked_add(claim.retention).unwrap_or(created_at),
        };
        self.keep(Arc::new(record), asked, claim.retention);
    }

    fn keep(&self, record: Arc<IdempotencyRecord>, from: Instant, remaining: Duration) {
        let name = Name { principal: record.principal_fingerprint.as_str().into(), key: record.key.as_str().into() };
        // What can never end need not be kept for ever.
        let Some(remaining) = remaining.checked_sub(MARGIN) else { return };
        let started = SystemTime::now().checked_sub(from.elapsed());
        let until_by_the_wall = started.and_then(|started| started.checked_add(remaining));
        let (Some(until), Some(until_by_the_wall)) = (from.checked_add(remaining), until_by_the_wall) else { return };
        self.outcomes.insert(name, Outcome { record, until, until_by_the_wall });
    }

    /// One large outcome is not worth many small ones.
    fn has_room_for(&self, headers: &[u8], body: &[u8]) -> bool {
        (headers.len() + body.len()) as u64 <= self.bound.load(Ordering::Relaxed) / 16
            && self.bound.load(Ordering::Relaxed) > 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Name, Outcome> for Weight {
    fn weight(&self, name: &Name, outcome: &Outcome) -> u64 {
        let record = &outcome.record;
        let names = name.principal.len() + name.key.len();
        (OVERHEAD + 2 * names + record.response_headers.len() + record.response_body.len()) as u64
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    principal: Box<str>,
    key: Box<str>,
}

/// A [`Name`] that is only looked for.
struct Named<'a> {
    principal: &'a str,
    key: &'a str,
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Named { principal: &self.principal, key: &self.key }.hash(state);
    }
}

impl Hash for Named<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.principal.hash(state);
        self.key.hash(state);
    }
}

impl Equivalent<Name> for Named<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        *self.principal == *name.principal && *self.key == *name.key
    }
}

/// What the store's clock shows, by a reading now and then.
#[derive(Debug, Default)]
struct Clock {
    reading: Mutex<Option<Reading>>,
    reads: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Before the store was asked, so that its clock is behind what is reckoned from here rather than ahead.
    asked: Instant,
    /// `None` where the store has no clock to show.
    time: Option<SystemTime>,
}

/// A clock is read anew after this long, and after twice as long the last reading is not used any more.
const FRESH: Duration = Duration::from_secs(60);

impl Clock {
    /// The latest that the store's clock can show now. `None` where that is not known, perhaps yet: it is asked for beside.
    fn now(seen: &Arc<Seen>, store: &Arc<dyn IdempotencyStore>) -> Option<SystemTime> {
        let reading = *seen.clock.lock();
        let age = reading.map(|reading| reading.asked.elapsed());
        let forever = reading.is_some_and(|reading| reading.time.is_none());
        if !forever && age.is_none_or(|age| age >= FRESH) && !seen.clock.reads.swap(true, Ordering::Relaxed) {
            let (seen, store) = (Arc::clone(seen), Arc::clone(store));
            tokio::spawn(async move {
                let asked = Instant::now();
                match caught(tokio::time::timeout(FRESH, store.now())).await {
                    Some(Ok(Ok(time))) => *seen.clock.lock() = Some(Reading { asked, time }),
                    Some(Ok(Err(error))) => debug!(%error, "the idempotency store's clock was not read"),
                    Some(Err(_)) | None => debug!("the idempotency store's clock was not read"),
                }
                seen.clock.reads.store(false, Ordering::Relaxed);
            });
        }
        let age = age.filter(|age| *age < 2 * FRESH)?;
        reading?.time?.checked_add(age)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::store::{ReservationOutcome, StoreError};

    /// A store that shows a clock, and nothing else.
    struct Clockwork(Option<SystemTime>);

    #[async_trait]
    impl IdempotencyStore for Clockwork {
        async fn reserve_or_fetch(
            &self,
            _: &str,
            _: &str,
            _: [u8; 32],
            _: SystemTime,
        ) -> Result<ReservationOutcome, StoreError> {
            unreachable!()
        }

        async fn complete(&self, _: &str, _: &str, _: Uuid, _: u16, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn now(&self) -> Result<Option<SystemTime>, StoreError> {
            Ok(self.0)
        }
    }

    /// The store's clock need not be ours.
    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(43_200)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    async fn seen_over(time: Option<SystemTime>) -> (Arc<Seen>, Arc<dyn IdempotencyStore>) {
        let (seen, store): (_, Arc<dyn IdempotencyStore>) = (Arc::new(Seen::default()), Arc::new(Clockwork(time)));
        assert!(Clock::now(&seen, &store).is_none(), "not read yet");
        while seen.clock.lock().is_none() {
            tokio::task::yield_now().await;
        }
        (seen, store)
    }

    fn record(key: &str, expires_at: SystemTime, body: usize) -> Arc<IdempotencyRecord> {
        Arc::new(IdempotencyRecord {
            key: key.to_owned(),
            principal_fingerprint: "p".to_owned(),
            request_hash: [1; 32],
            response_status: 201,
            response_headers: Vec::new(),
            response_body: vec![b'x'; body],
            created_at: SystemTime::UNIX_EPOCH,
            expires_at,
        })
    }

    fn claim(key: &str, hash: u8) -> OwnedClaim {
        let (principal, key) = ("p".to_owned(), key.to_owned());
        OwnedClaim { principal, key, request_hash: [hash; 32], lease: MINUTE, retention: MINUTE }
    }

    #[tokio::test(start_paused = true)]
    async fn the_stores_clock_says_how_long() {
        let (seen, store) = seen_over(Some(noon())).await;
        tokio::time::advance(Duration::from_secs(30)).await;
        seen.keep_told(&store, &record("k", noon() + MINUTE, 1));
        seen.keep_told(&store, &record("over", noon() + Duration::from_secs(29), 1));
        assert!(matches!(seen.find(&claim("k", 1)), Some(Found::Replay(_))));
        assert!(matches!(seen.find(&claim("k", 2)), Some(Found::Conflict)));
        assert!(seen.find(&claim("over", 1)).is_none());
        assert!(seen.find(&claim("other", 1)).is_none());
        tokio::time::advance(Duration::from_secs(28)).await;
        assert!(seen.find(&claim("k", 1)).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seen.find(&claim("k", 1)).is_none(), "a second before its end");
        assert!(seen.outcomes.is_empty(), "and its memory is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_not_read_for_long_is_not_believed() {
        let (seen, store) = seen_over(Some(noon())).await;
        tokio::time::advance(2 * FRESH).await;
        seen.keep_told(&store, &record("k", noon() + 60 * MINUTE, 1));
        assert!(seen.find(&claim("k", 1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_retention_of_what_is_recorded_here_counts_from_its_reservation() {
        let (seen, store) = seen_over(Some(noon())).await;
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(50)).await;
        let hold = Hold { claim: Arc::new(claim("k", 1)), token: Uuid::nil(), attempt: 1 };
        let verdict = Verdict::Record { status: 201, headers: vec![1], body: Bytes::from_static(b"paid") };
        seen.keep_recorded(&store, &hold, &verdict, asked);
        let Some(Found::Replay(record)) = seen.find(&claim("k", 1)) else { panic!() };
        assert_eq!(
            (record.response_status, &record.response_headers[..], &record.response_body[..]),
            (201, &[1][..], &b"paid"[..])
        );
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(seen.find(&claim("k", 1)).is_none());
    }

    /// A machine's monotonic clock stands still while it is suspended.
    #[tokio::test]
    async fn a_suspended_machine_keeps_nothing_for_longer() {
        let (seen, store) = seen_over(Some(noon())).await;
        seen.keep_told(&store, &record("k", noon() + 60 * MINUTE, 1));
        let name = Named { principal: "p", key: "k" };
        let kept = seen.outcomes.get(&name).unwrap();
        assert!(!kept.has_expired());
        let hour = kept.until_by_the_wall.duration_since(SystemTime::now()).unwrap();
        assert!(hour > 58 * MINUTE && hour < 60 * MINUTE, "{hour:?}");
        assert!(Outcome { until_by_the_wall: SystemTime::now(), ..kept }.has_expired());
    }

    #[tokio::test]
    async fn without_a_clock_nothing_is_kept() {
        let (seen, store) = seen_over(None).await;
        seen.keep_told(&store, &record("k", SystemTime::now() + MINUTE, 1));
        assert!(seen.find(&claim("k", 1)).is_none());
    }

    #[tokio::test]
    async fn it_is_bounded_in_bytes() {
        let (seen, store) = seen_over(Some(noon())).await;
        seen.bound(1024 * 1024);
        for n in 0..10_000 {
            seen.keep_told(&store, &record(&n.to_string(), noon() + MINUTE, 1_000));
        }
        assert!(seen.outcomes.weight() <= 1024 * 1024);
        assert!(seen.outcomes.len() > 300, "{}", seen.outcomes.len());
        seen.keep_told(&store, &record("large", noon() + MINUTE, 100_000));
        assert!(seen.find(&claim("large", 1)).is_none());
        seen.bound(0);
        seen.keep_told(&store, &record("k", noon() + MINUTE, 0));
        assert!(seen.outcomes.is_empty());
    }
}
