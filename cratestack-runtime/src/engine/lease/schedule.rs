use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Span;

use super::renewal::RenewalTarget;
use crate::engine::retry::Recovery;

/// All leases of the process, and which is due when.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) entries: HashMap<u64, LeaseEntry, BuildHasherDefault<HashOfNumber>>,
    /// What is due when, the earliest first.
    pub(super) due: BTreeSet<(Instant, u64)>,
    last_id: u64,
}

/// Of the numbers that are given here one after the other, so that nobody can choose them.
#[derive(Default)]
pub(super) struct HashOfNumber(u64);

impl Hasher for HashOfNumber {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    /// Fibonacci hashing: a map looks at the highest bits as well as the lowest.
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct LeaseEntry {
    renewable: Renewable,
    /// The lease that is known to be had began at this moment or later.
    pub(super) leased: Instant,
    /// As in [`Schedule::due`]; `None` while it is being renewed, and where there is nothing to renew.
    next: Option<Instant>,
    /// Which renewal may say what became of it.
    generation: u64,
    pub(super) renewing: Option<AbortHandle>,
    /// There is nothing to renew any more.
    pub(super) is_over: bool,
    pub(super) is_lost: bool,
    /// How many steps its run has done that are not recorded.
    unrecorded_steps: u32,
}

/// A lease, and where its renewals run.
#[derive(Debug, Clone)]
pub(super) struct Renewable {
    pub(super) target: RenewalTarget,
    pub(super) recovery: Arc<Recovery>,
    /// Where the run lives, and whom its log lines belong to.
    pub(super) runtime: Handle,
    pub(super) span: Span,
}

/// A renewal that is due.
pub(super) struct DueRenewal {
    pub(super) id: u64,
    pub(super) generation: u64,
    pub(super) renewable: Renewable,
}

impl Schedule {
    pub(super) fn add(&mut self, renewable: Renewable, leased: Instant, next: Instant) -> u64 {
        self.last_id += 1;
        let entry = LeaseEntry {
            renewable,
            leased,
            next: None,
            generation: 0,
            renewing: None,
            is_over: false,
            is_lost: false,
            unrecorded_steps: 0,
        };
        self.entries.insert(self.last_id, entry);
        self.plan(self.last_id, next);
        self.last_id
    }

    pub(super) fn is_lost(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.is_lost)
    }

    /// Whether the lease that is known to be had lies ahead, or the store knows none.
    pub(super) fn lasts(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| {
            let lease = entry.renewable.target.hold.claim.lease;
            !entry.is_lost && (entry.is_over || entry.leased.elapsed() < lease)
        })
    }

    pub(super) fn lose(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_over = true;
            entry.is_lost = true;
        }
    }

    pub(super) fn step_is_done(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unrecorded_steps += 1;
        }
    }

    pub(super) fn step_is_recorded(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unrecorded_steps = entry.unrecorded_steps.saturating_sub(1);
        }
    }

    pub(super) fn has_unrecorded_step(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.unrecorded_steps > 0)
    }

    pub(super) fn is_being_renewed(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.next.is_none() && !entry.is_over)
    }

    /// The entry, to whoever renews it by the latest generation.
    pub(super) fn entry(&mut self, id: u64, generation: u64) -> Option<&mut LeaseEntry> {
        self.entries.get_mut(&id).filter(|entry| entry.generation == generation)
    }

    pub(super) fn plan(&mut self, id: u64, next: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(before) = entry.next.replace(next) {
            self.due.remove(&(before, id));
        }
        self.due.insert((next, id));
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Vec<DueRenewal> {
        let due: Vec<_> = self.due.iter().take_while(|(next, _)| *next <= now).map(|(_, id)| *id).collect();
        due.into_iter().filter_map(|id| self.take_if_due(id, now)).collect()
    }

    /// What is to be renewed now; it is not due again before that has ended.
    pub(super) fn take_if_due(&mut self, id: u64, now: Instant) -> Option<DueRenewal> {
        let entry = self.entries.get_mut(&id)?;
        let next = entry.next.filter(|next| *next <= now)?;
        self.due.remove(&(next, id));
        entry.next = None;
        entry.generation += 1;
        Some(DueRenewal { id, generation: entry.generation, renewable: entry.renewable.clone() })
    }

    /// Nothing is due any more, and the renewal that is on its way says nothing.
    pub(super) fn stop(&mut self, id: u64) -> Option<AbortHandle> {
        let entry = self.entries.get_mut(&id)?;
        if let Some(next) = entry.next.take() {
            self.due.remove(&(next, id));
        }
        entry.generation += 1;
        entry.renewing.take()
    }
}
