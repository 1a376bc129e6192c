//! The outcomes that this process has seen, kept so that whoever asks for one again need not ask the store.
//!
//! A finished outcome does not change until it expires, but the store may lose it: a server that crashes under
//! `synchronous_commit = off`, or an asynchronous standby that is promoted, forgets its last commits. A copy of what
//! was lost must not be replayed, as the request may run again and come to another outcome. So an outcome is kept for
//! one session of the store ([`ClockSample`](crate::store::ClockSample)), and counts while that session is confirmed:
//!
//! ```text
//! caller            process                                          server
//!                   sample sent ------------------------------------> session 1: alive
//! pay, key k -----> miss: witness of session 1
//!                   reserve, run, record ---------------------------> committed (not yet on disk)
//! <-------- paid    kept, as of session 1
//! again ----------> hit: session 1 was confirmed within a second
//!                                                                    crash: the commit is lost; session 1 ends with it
//! again ----------> hit within that second: the outcome that was told, and that is lost
//! again ----------> miss after it: the store is asked, and runs it ---> up again
//!                   sample sent ------------------------------------> session 2
//!                   all that is of session 1 is dropped
//! ```
//!
//! The witness is taken before the store is asked for anything. Had the crash come between the commit and the keeping
//! of its outcome, the outcome would be of session 1 all the same, although by then the process may know session 2.
//!
//! An outcome is never kept past its expiry: of one that was recorded here, the retention counts from before its
//! reservation was asked for; of one that was fetched, from a sample of the store's clock.

mod store_clock;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use quick_cache::sync::DefaultLifecycle;
use quick_cache::{Equivalent, Weighter};
use tokio::time::Instant;
use tracing::debug;

use self::store_clock::{SESSION_MAX_AGE, SESSION_REFRESH_AGE, StoreClock};
use crate::engine::model::{Outcome, OwnedClaim};
use crate::engine::store_call::{store_call, too_late};
use crate::store::{ByOwnHash, HashedId, IdempotencyRecord, IdempotencyStore, RecordId, RecordIdRef};
use crate::util::timeout;

#[derive(Debug)]
pub(crate) struct ReplayCache {
    outcomes: quick_cache::sync::Cache<RecordId, Cached, Weight, ByOwnHash>,
    bound: AtomicU64,
    clock: Arc<StoreClock>,
}

/// What a process may spend on it unless it is told otherwise, in bytes.
const DEFAULT_BOUND_BYTES: u64 = 8 * 1024 * 1024;

/// What an entry costs besides its record's bytes, generously.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// An outcome is let go this long before it expires, for clocks that do not go at the same rate.
const EXPIRY_MARGIN: Duration = Duration::from_secs(1);

/// How long a sample may take. One that takes longer than a second confirms nothing, but still shows the clock.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
struct Cached {
    record: Arc<IdempotencyRecord>,
    session: u64,
    until: Instant,
    /// The same by the clock on the wall, which also went on while the machine was suspended. The earlier one counts.
    until_by_the_wall: SystemTime,
}

/// What was found of a claim.
#[derive(Debug)]
pub(crate) enum Lookup {
    Hit(Hit),
    /// The store has to be asked. What it then tells may be kept by this witness.
    Miss(Witness),
}

/// What a claim comes to.
#[derive(Debug)]
pub(crate) enum Hit {
    Replay(Arc<IdempotencyRecord>),
    Conflict,
}

/// The session that the store was in before it was asked; without one, what it tells is not kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Witness(Option<u64>);

impl Default for ReplayCache {
    fn default() -> Self {
        let (hasher, lifecycle) = (ByOwnHash::default(), DefaultLifecycle::default());
        let outcomes = quick_cache::sync::Cache::with(1024, DEFAULT_BOUND_BYTES, Weight, hasher, lifecycle);
        Self { outcomes, bound: AtomicU64::new(DEFAULT_BOUND_BYTES), clock: Arc::default() }
    }
}

impl ReplayCache {
    /// Keeps at most so many bytes; with 0, nothing, and the store is asked for no sample.
    pub(crate) fn bound(&self, bytes: u64) {
        self.bound.store(bytes, Ordering::Relaxed);
        self.outcomes.set_capacity(bytes);
        if bytes == 0 {
            self.outcomes.clear();
        }
    }

    /// To be called before the store is asked.
    pub(crate) fn find(self: &Arc<Self>, store: &Arc<dyn IdempotencyStore>, claim: &OwnedClaim) -> Lookup {
        if self.bound.load(Ordering::Relaxed) == 0 {
            return Lookup::Miss(Witness(None));
        }
        let name = &claim.id;
        if let Some(outcome) = self.outcomes.get(name) {
            let (now, by_the_wall) = (Instant::now(), SystemTime::now());
            match self.clock.unconfirmed_for(outcome.session, now, by_the_wall) {
                Some(age) if outcome.until > now && outcome.until_by_the_wall > by_the_wall => {
                    if age >= SESSION_REFRESH_AGE {
                        self.sample(store);
                    }
                    if age <= SESSION_MAX_AGE {
                        return Lookup::Hit(if outcome.record.request_hash == claim.request_hash {
                            Hit::Replay(outcome.record)
                        } else {
                            Hit::Conflict
                        });
                    }
                }
                _ => drop(self.outcomes.remove(name)),
            }
        }
        let (session, is_due) = self.clock.session();
        if is_due {
            self.sample(store);
        }
        Lookup::Miss(Witness(session))
    }

    pub(crate) fn forget(&self, principal: &str, key: &str) {
        self.outcomes.remove(&RecordIdRef { principal, key }.hashed());
    }

    /// Something was removed from the store by this process. What is kept goes, and so does what was asked for before
    /// and is answered after: its witness is of a session that is over.
    pub(crate) fn end_session(&self) {
        self.clock.end_session();
        self.outcomes.clear();
    }

    /// The store has been made older: what is kept may have expired.
    #[cfg(all(feature = "axum", feature = "testing"))]
    pub(crate) fn clear(&self) {
        self.outcomes.clear();
    }

    /// Keeps what the store told, until the record expires by the store's clock.
    pub(crate) fn insert_fetched(&self, witness: Witness, record: &Arc<IdempotencyRecord>) {
        let Some(session) = self.keepable(witness, &record.response_headers, &record.response_body) else { return };
        let Some(now) = self.clock.now() else { return };
        let Ok(remaining) = record.expires_at.duration_since(now) else { return };
        self.insert(Arc::clone(record), session, Instant::now(), remaining);
    }

    /// Keeps what was recorded under a claim that was `asked` for then.
    pub(crate) fn insert_recorded(&self, witness: Witness, claim: &OwnedClaim, outcome: &Outcome, asked: Instant) {
        let Some(session) = self.keepable(witness, &outcome.metadata, &outcome.body) else { return };
        self.insert(Arc::new(outcome.to_record(claim, asked)), session, asked, claim.retention);
    }

    fn insert(&self, record: Arc<IdempotencyRecord>, session: u64, from: Instant, remaining: Duration) {
        let id = RecordId::new(&record.principal_fingerprint, &record.key);
        // What expires within the margin is not worth keeping.
        let Some(remaining) = remaining.checked_sub(EXPIRY_MARGIN) else { return };
        let started = SystemTime::now().checked_sub(from.elapsed());
        let until_by_the_wall = started.and_then(|started| started.checked_add(remaining));
        let (Some(until), Some(until_by_the_wall)) = (from.checked_add(remaining), until_by_the_wall) else { return };
        self.outcomes.insert(id, Cached { record, session, until, until_by_the_wall });
    }

    /// The session to keep an outcome of this size for. One large outcome is not worth many small ones.
    fn keepable(&self, Witness(session): Witness, headers: &[u8], body: &[u8]) -> Option<u64> {
        let bound = self.bound.load(Ordering::Relaxed);
        let has_room = bound > 0 && (headers.len() + body.len()) as u64 <= bound / 16;
        session.filter(|session| has_room && self.clock.is_current(*session))
    }

    /// Asks the store for a sample, beside the request that needs it. Where the answer ends a session, all of it is
    /// dropped.
    fn sample(self: &Arc<Self>, store: &Arc<dyn IdempotencyStore>) {
        let Some(sampling) = self.clock.begin_sample() else { return };
        let (cache, store) = (Arc::clone(self), Arc::clone(store));
        tokio::spawn(async move {
            let looking = async { timeout(SAMPLE_TIMEOUT, store.now()).await };
            let answer = store_call(async { looking.await.unwrap_or_else(|_| Err(too_late(SAMPLE_TIMEOUT))) }).await;
            if let Err(error) = &answer {
                debug!(%error, "idempotency replays ask the store: its session is not known");
            }
            if sampling.end(&answer) {
                cache.outcomes.clear();
            }
        });
    }
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<RecordId, Cached> for Weight {
    fn weight(&self, id: &RecordId, outcome: &Cached) -> u64 {
        let record = &outcome.record;
        let names = id.principal().len() + id.key().len();
        (ENTRY_OVERHEAD_BYTES + 2 * names + record.response_headers.len() + record.response_body.len()) as u64
    }
}

impl Equivalent<RecordId> for HashedId<'_> {
    fn equivalent(&self, id: &RecordId) -> bool {
        self.as_ref() == id.as_ref()
    }
}
