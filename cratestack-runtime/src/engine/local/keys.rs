//! In whose hands each key is within one engine.
//!
//! An engine never runs a key beside itself, whatever the store says, and of all who ask for one key at the same time
//! one asks the store:
//!
//! ```text
//! request A                   the key here        request B, the same key
//! takes the turn ───────────▶ asking          ◀── waits for A's answer
//! the store: it is A's ─────▶ running         ◀── is told that it is in flight, or waits
//! the store is away ────────▶ pending         ◀── is told the outcome, from here
//! the outcome is written ───▶ idle            ◀── takes the turn, asks the store
//! ```
//!
//! The turn is taken before the store is asked, and kept until the run has ended and its outcome is written. While a
//! run lives here, no question of this process can therefore reach the store and take the key over, however late the
//! run's renewals are. A turn that is dropped, in order or by a panic, leaves the key idle.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::model::OwnedClaim;
use crate::store::{ByOwnHash, IdempotencyRecord, RecordId, StoreError};
use crate::util::lock;

/// Keys that share a shard wait for each other, for as long as an entry is looked at.
const SHARDS: usize = 16;

/// Whoever comes later than this after a question was asked is not told what outcome it has found. What is kept of
/// earlier answers counts for as long.
const ANSWER_MAX_AGE: Duration = Duration::from_secs(1);

/// The keys that requests of this engine are concerned with.
#[derive(Debug, Default)]
pub(crate) struct LocalKeys {
    shards: [Mutex<Shard>; SHARDS],
}

type Shard = HashMap<RecordId, Entry, ByOwnHash>;

/// One key. It is created by the first request that is concerned with it, and removed by the last.
#[derive(Debug, Default)]
struct Entry {
    present: usize,
    phase: Phase,
    /// Counts the changes.
    version: u64,
    /// Counts the questions to the store.
    questions: u64,
    /// The answer that the store last gave to one of those who are present, and the version that came with it.
    answer: Option<(u64, [u8; 32], Known)>,
    /// Which question that was the answer to.
    answered: u64,
    /// A leader watches the store on behalf of all who wait.
    is_watched: bool,
    /// Created by the first who waits.
    changed: Option<Arc<Notify>>,
}

#[derive(Debug, Clone, Default)]
enum Phase {
    #[default]
    Idle,
    Asking(Question),
    Running([u8; 32]),
    Pending(Arc<IdempotencyRecord>),
}

/// What the store is asked. However late it answers, that is of when it was asked.
#[derive(Debug, Clone, Copy)]
struct Question {
    asked: Instant,
    /// The same by the clock on the wall, which also went on while the machine was suspended.
    asked_by_the_wall: SystemTime,
    /// Records were removed from the store by this engine since.
    is_outdated: bool,
}

impl Question {
    fn now() -> Self {
        Self { asked: Instant::now(), asked_by_the_wall: SystemTime::now(), is_outdated: false }
    }

    /// Whether somebody who comes now may be told an outcome by it.
    fn is_recent(&self) -> bool {
        let is_recent = |age: Duration| age <= ANSWER_MAX_AGE;
        !self.is_outdated
            && is_recent(self.asked.elapsed())
            // A clock on the wall that was set back proves nothing.
            && self.asked_by_the_wall.elapsed().is_ok_and(is_recent)
    }
}

/// What is known of a key without asking the store.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Replay(Arc<IdempotencyRecord>),
    InFlight { here: bool },
    Conflict,
    Failed(StoreError),
}

/// What a request finds when it looks.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nobody here has the key: the store is to be asked, by whoever gets this.
    Turn(KeyTurn),
    /// Somebody else asks.
    Asking,
    Known(Known),
}

impl LocalKeys {
    /// Concerns a request with its key, until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, claim: &Arc<OwnedClaim>) -> EntryGuard {
        let mut shard = self.shard_of(&claim.id);
        let entry = shard.entry(claim.id.clone()).or_default();
        entry.present += 1;
        let heard = entry.version;
        let came_too_late_for = match &entry.phase {
            Phase::Asking(question) if !question.is_recent() => Some(entry.questions),
            _ => None,
        };
        drop(shard);
        let place = Place { keys: Arc::clone(self), claim: Arc::clone(claim) };
        EntryGuard { place, heard, came_too_late_for, is_in_flight: false }
    }

    /// Records were removed from the store. What it was asked before counts for those who are there, and for nobody who
    /// comes now.
    pub(crate) fn outdate_questions(&self) {
        for shard in &self.shards {
            for entry in lock(shard).values_mut() {
                if let Phase::Asking(question) = &mut entry.phase {
                    question.is_outdated = true;
                }
            }
        }
    }

    fn shard_of(&self, id: &RecordId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[id.hashed().shard(SHARDS)])
    }
}

/// Finds an entry, for as long as it is there.
#[derive(Debug, Clone)]
struct Place {
    keys: Arc<LocalKeys>,
    claim: Arc<OwnedClaim>,
}

impl Place {
    fn with<T>(&self, look: impl FnOnce(&mut Entry) -> T) -> T {
        let mut shard = self.keys.shard_of(&self.claim.id);
        match shard.get_mut(&self.claim.id) {
            Some(entry) => look(entry),
            // The last request has gone, so nobody is left who could see the change.
            None => look(&mut Entry::default()),
        }
    }

    /// One request fewer is concerned with the key; the last one removes the entry.
    fn leave(&self) {
        let mut shard = self.keys.shard_of(&self.claim.id);
        let Some(entry) = shard.get_mut(&self.claim.id) else { return };
        entry.present -= 1;
        if entry.present == 0 {
            shard.remove(&self.claim.id);
        }
    }

    /// Changes the entry and wakes all who wait for a change.
    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let changed = self.with(|entry| {
            change(entry);
            entry.version += 1;
            entry.changed.clone()
        });
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }
}

/// A request that is concerned with its key.
#[derive(Debug)]
pub(crate) struct EntryGuard {
    place: Place,
    /// Answers up to this version were given before the request came, or it has been told them.
    heard: u64,
    /// The question that was under way when the request came, where an outcome that it finds is none for it.
    came_too_late_for: Option<u64>,
    /// The request has been told that the store finds the key in flight.
    is_in_flight: bool,
}

impl EntryGuard {
    /// What is known of the key; or else, where nobody is asking the store, the turn to do so. The version is that of
    /// the look.
    pub(crate) fn look(&mut self) -> (u64, Look) {
        let Self { place, heard, came_too_late_for, is_in_flight } = self;
        let request = place.claim.request_hash;
        place.with(|entry| {
            let look = match &entry.phase {
                Phase::Running(of) if *of == request => Look::Known(Known::InFlight { here: true }),
                Phase::Pending(record) if record.request_hash == request => {
                    Look::Known(Known::Replay(Arc::clone(record)))
                }
                Phase::Running(_) | Phase::Pending(_) => Look::Known(Known::Conflict),
                phase @ (Phase::Idle | Phase::Asking(_)) => match entry
                    .answer
                    .as_ref()
                    .filter(|(at, _, known)| {
                        let is_of_before = *came_too_late_for == Some(entry.answered);
                        // That the key is in flight, or the store away, is no outcome, and may be told at any time.
                        *at > *heard && !(is_of_before && matches!(known, Known::Replay(_) | Known::Conflict))
                    })
                    .and_then(|(at, of, known)| Some((*at, known.told_to(*of, request, *is_in_flight)?)))
                {
                    Some((at, known)) => {
                        *heard = at;
                        *is_in_flight |= matches!(known, Known::InFlight { .. });
                        Look::Known(known)
                    }
                    _ if matches!(phase, Phase::Asking(_)) => Look::Asking,
                    _ => {
                        entry.phase = Phase::Asking(Question::now());
                        entry.questions += 1;
                        // A turn may outlive its request: an outcome that waits to be written has one.
                        entry.present += 1;
                        Look::Turn(KeyTurn { place: place.clone(), is_over: false })
                    }
                },
            };
            (entry.version, look)
        })
    }

    pub(crate) fn claim(&self) -> &Arc<OwnedClaim> {
        &self.place.claim
    }

    /// Waits until something has changed since a look.
    pub(crate) async fn changed_since(&self, version: u64) {
        loop {
            let changed = self.place.with(|entry| Arc::clone(entry.changed.get_or_insert_default()));
            let mut changed = pin!(changed.notified());
            changed.as_mut().enable();
            if self.place.with(|entry| entry.version) != version {
                return;
            }
            changed.await;
        }
    }

    /// The right to watch the store for all who wait for this key, where nobody has it.
    pub(crate) fn leader(&self) -> Option<Leader> {
        let leads = self.place.with(|entry| !std::mem::replace(&mut entry.is_watched, true));
        leads.then(|| Leader(self.place.clone()))
    }
}

impl Drop for EntryGuard {
    fn drop(&mut self) {
        self.place.leave();
    }
}

impl Known {
    /// What the store's answer to the request `of` says to a request that may be another one.
    ///
    /// Once a request has been told that it is in flight, it also takes that answer where it was given to another
    /// request. If it did not, two requests that differ and wait for one run elsewhere would ask in turns without a
    /// pause: each would ask as soon as the other had been told.
    fn told_to(&self, of: [u8; 32], request: [u8; 32], is_in_flight: bool) -> Option<Self> {
        match self {
            Self::Replay(record) if record.request_hash != request => Some(Self::Conflict),
            Self::Replay(_) | Self::Failed(_) => Some(self.clone()),
            // To another request the store has not said whose the key is.
            Self::InFlight { .. } => (of == request || is_in_flight).then(|| self.clone()),
            Self::Conflict => (of == request).then(|| self.clone()),
        }
    }
}

/// The right to ask the store for a key, and to run under it; the key is idle again when this is dropped.
#[derive(Debug)]
pub(crate) struct KeyTurn {
    place: Place,
    is_over: bool,
}

impl KeyTurn {
    /// Ends the turn with the store's answer, for all who are present.
    pub(crate) fn tell(mut self, known: Known) {
        self.is_over = true;
        let request = self.place.claim.request_hash;
        self.place.change(|entry| {
            entry.phase = Phase::Idle;
            entry.answer = Some((entry.version + 1, request, known));
            entry.answered = entry.questions;
        });
    }

    /// The key is reserved, and its work runs.
    pub(crate) fn set_running(&self) {
        let request = self.place.claim.request_hash;
        self.place.change(|entry| entry.phase = Phase::Running(request));
    }

    /// The work has ended, and this outcome waits to be written.
    pub(crate) fn set_pending(&self, outcome: Arc<IdempotencyRecord>) {
        self.place.change(|entry| entry.phase = Phase::Pending(outcome));
    }
}

impl Drop for KeyTurn {
    fn drop(&mut self) {
        if !self.is_over {
            self.place.change(|entry| entry.phase = Phase::Idle);
        }
        self.place.leave();
    }
}

/// Watches the store for all who wait. When it is dropped, one of the others becomes the leader.
#[derive(Debug)]
pub(crate) struct Leader(Place);

impl Drop for Leader {
    fn drop(&mut self) {
        self.0.change(|entry| entry.is_watched = false);
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
