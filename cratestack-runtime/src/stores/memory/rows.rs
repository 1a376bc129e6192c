//! The rows of a shard, and when they end.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{ByOwnHash, Claim, HashedId, Identified, RecordId, RecordedStep};

/// What stands in a record for a retention that no timestamp can hold.
const MAX_RETENTION: Duration = Duration::from_hours(100 * 365 * 24);

/// The rows of a shard, found by their id, and by when they expire.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) by_id: HashMap<RecordId, Row, ByOwnHash>,
    pub(super) by_expiry: BTreeMap<(Deadline, u64), RecordId>,
    /// Tells rows apart that expire at the same moment.
    last_number: u64,
}

impl Rows {
    pub(super) fn get_mut(&mut self, id: HashedId<'_>) -> Option<&mut Row> {
        self.by_id.get_mut(&id as &dyn Identified)
    }

    /// Where nothing of the name is there yet, `owned` makes what it is kept by.
    pub(super) fn put(&mut self, id: HashedId<'_>, owned: impl FnOnce() -> RecordId, mut row: Row) {
        let old = self.by_id.get(&id as &dyn Identified);
        let kept = old.and_then(|old| self.by_expiry.remove(&(old.expires, old.number)));
        let owned = kept.unwrap_or_else(owned);
        self.last_number += 1;
        row.number = self.last_number;
        self.by_expiry.insert((row.expires, row.number), owned.clone());
        self.by_id.insert(owned, row);
    }

    pub(super) fn keep_until(&mut self, id: HashedId<'_>, expires: Deadline) {
        let Some(row) = self.by_id.get_mut(&id as &dyn Identified) else { return };
        if let Some(owned) = self.by_expiry.remove(&(row.expires, row.number)) {
            row.expires = expires;
            self.by_expiry.insert((expires, row.number), owned);
        }
    }

    pub(super) fn remove(&mut self, id: HashedId<'_>) {
        if let Some(row) = self.by_id.remove(&id as &dyn Identified) {
            self.by_expiry.remove(&(row.expires, row.number));
        }
    }

    /// Deletes up to `limit` rows that have expired, and says how many.
    pub(super) fn sweep(&mut self, now: Instant, limit: usize) -> u64 {
        let mut deleted = 0;
        for _ in 0..limit {
            let Some(first) = self.by_expiry.first_entry().filter(|first| first.key().0.passed(now)) else { break };
            let owned = first.remove();
            self.by_id.remove(&owned);
            deleted += 1;
        }
        if self.by_id.len() < self.by_id.capacity() / 4 {
            self.by_id.shrink_to(self.by_id.len() * 2);
        }
        deleted
    }
}

pub(super) struct Row {
    number: u64,
    pub(super) token: Uuid,
    pub(super) attempt: u32,
    pub(super) request_hash: [u8; 32],
    pub(super) lease: Deadline,
    pub(super) expires: Deadline,
    pub(super) reserved: Instant,
    pub(super) created_at: SystemTime,
    pub(super) expires_at: SystemTime,
    pub(super) outcome: Option<RowOutcome>,
    pub(super) steps: Vec<RecordedStep>,
}

impl Row {
    pub(super) fn new(claim: &Claim<'_>, attempt: u32, now: Instant) -> Self {
        let expires = Deadline::after(now, claim.retention);
        let created_at = SystemTime::now();
        Self {
            number: 0,
            token: Uuid::new_v4(),
            attempt,
            request_hash: claim.request_hash,
            lease: Deadline::after(now, claim.lease).min(expires),
            expires,
            reserved: now,
            created_at,
            expires_at: timestamp_after(created_at, claim.retention),
            outcome: None,
            steps: Vec::new(),
        }
    }

    /// The row of a run that takes over from this one, or comes after it.
    pub(super) fn succeeded_by(&mut self, claim: &Claim<'_>, now: Instant) -> Self {
        let attempt = self.next_attempt(now);
        let steps = if attempt > 1 { std::mem::take(&mut self.steps) } else { Vec::new() };
        Self { steps, ..Self::new(claim, attempt, now) }
    }

    /// Whether this request may take the row over. The effect of a reservation whose lease is over may have happened,
    /// so until the row expires only its own request may.
    pub(super) fn is_dead_to(&self, request_hash: [u8; 32], now: Instant) -> bool {
        let is_its_own = self.request_hash == request_hash;
        self.expires.passed(now) || (self.outcome.is_none() && is_its_own && self.lease.passed(now))
    }

    pub(super) fn next_attempt(&self, now: Instant) -> u32 {
        if self.outcome.is_none() && !self.expires.passed(now) { self.attempt.saturating_add(1) } else { 1 }
    }
}

#[derive(Clone)]
pub(super) struct RowOutcome {
    pub(super) status: u16,
    pub(super) headers: Bytes,
    pub(super) body: Bytes,
}

/// An end that may lie beyond what the clock can say. The order of the variants is the order in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    At(Instant),
    Never,
}

impl Deadline {
    pub(super) fn after(now: Instant, duration: Duration) -> Self {
        now.checked_add(duration).map_or(Self::Never, Self::At)
    }

    pub(super) fn passed(self, now: Instant) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Never => false,
        }
    }

    /// How long ago it was.
    pub(super) fn passed_since(self, now: Instant) -> Duration {
        match self {
            Self::At(end) => now.saturating_duration_since(end),
            Self::Never => Duration::ZERO,
        }
    }

    /// As a timestamp, given two looks at once at the two clocks; `None` where none can hold it.
    pub(super) fn by_the_wall(self, now: Instant, by_the_wall: SystemTime) -> Option<SystemTime> {
        match self {
            Self::At(end) if end >= now => by_the_wall.checked_add(end - now),
            Self::At(end) => by_the_wall.checked_sub(now - end),
            Self::Never => None,
        }
    }
}

pub(super) fn timestamp_after(now: SystemTime, duration: Duration) -> SystemTime {
    now.checked_add(duration).or_else(|| now.checked_add(MAX_RETENTION)).unwrap_or(now)
}
