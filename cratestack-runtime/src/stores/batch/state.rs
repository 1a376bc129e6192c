//! What a batch queue knows at one moment: the statements that are on their way, and the calls that wait.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::operation::{Operation, Pending};
use super::pace::Pace;

/// From this many waiting calls on, an operation has its `SLOTS_WHEN_CROWDED`. With fewer calls that wait, another slot
/// would only split one batch into two short ones.
pub(super) const CROWD_THRESHOLD: usize = 32;

/// A statement that is on its way for longer than this no longer occupies its slot: those who wait need not wait for
/// it.
pub(super) const STALLED_AFTER: Duration = Duration::from_millis(250);

/// However far the server is, there are no more slots than this, so that stalled statements leave some of
/// [`MAX_STATEMENTS`].
const MAX_SLOTS: usize = 12;

/// With so many statements on their way, stalled ones included, no slot is free. Statements without a slot do not
/// count.
pub(super) const MAX_STATEMENTS: usize = 16;

/// The same for an urgent call, so that the others' stalled statements leave it some slots.
pub(super) const MAX_STATEMENTS_WHEN_URGENT: usize = 2 * MAX_STATEMENTS;

/// A batch that has so many bytes takes no further call. Its last one may exceed them, by what a call may have that
/// shares a statement.
pub(super) const MAX_BATCH_BYTES: usize = 1024 * 1024;

pub(super) struct State<O: Operation> {
    /// The statements that have a slot, stalled ones included.
    pub(super) on_their_way: Vec<Statement>,
    pub(super) pace: Pace,
    pub(super) max_slots: usize,
    /// How many calls the statement before was for.
    pub(super) last_batch: usize,
    pub(super) last_number: u64,
    pub(super) urgent: VecDeque<Pending<O>>,
    pub(super) waiting: VecDeque<Pending<O>>,
}

pub(super) struct Statement {
    pub(super) number: u64,
    pub(super) since: Instant,
    /// How many calls it is for.
    pub(super) calls: usize,
}

impl<O: Operation> State<O> {
    pub(super) fn new(operation: &O) -> Self {
        Self {
            on_their_way: Vec::new(),
            pace: Pace::new(O::SERVER_TIME),
            max_slots: operation.max_slots(),
            last_batch: 0,
            last_number: 0,
            urgent: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A call comes, which is not among those that wait yet.
    pub(super) fn call_comes(&mut self) {
        let on_their_way: usize = self.on_their_way.iter().map(|statement| statement.calls).sum();
        self.pace.comes(on_their_way + self.pending() + 1);
    }

    /// Occupies a slot, where one is free.
    pub(super) fn begin_statement(&mut self, is_urgent: bool) -> Option<u64> {
        let max = if is_urgent { MAX_STATEMENTS_WHEN_URGENT } else { MAX_STATEMENTS };
        if self.on_their_way.len() >= max || !self.has_free_slot() {
            return None;
        }
        self.last_number += 1;
        self.on_their_way.push(Statement { number: self.last_number, since: Instant::now(), calls: 1 });
        Some(self.last_number)
    }

    /// A statement ends. How long it took is not told of one whose caller has gone, nor of a lone call that was refused.
    pub(super) fn end_statement(&mut self, number: u64, took: Option<Duration>) {
        self.on_their_way.retain(|statement| statement.number != number);
        // Where it stalled, it waited for something that is neither the wire nor the server.
        if let Some(took) = took.filter(|took| *took < STALLED_AFTER) {
            self.pace.took(took);
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.urgent.len() + self.waiting.len()
    }

    /// Whether others are likely to call in the same moment as a caller that has just taken a slot, and slots are few.
    pub(super) fn has_company(&self) -> bool {
        let occupied = self.occupied();
        2 * occupied > self.slots() && (self.last_batch > 1 || occupied > 1)
    }

    pub(super) fn slots(&self) -> usize {
        let least = if self.pending() < CROWD_THRESHOLD { O::BASE_SLOTS } else { O::SLOTS_WHEN_CROWDED };
        self.pace.slots().min(self.max_slots).min(MAX_SLOTS).max(least)
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.occupied() < self.slots()
    }

    pub(super) fn occupied(&self) -> usize {
        self.on_their_way.iter().filter(|statement| statement.since.elapsed() < STALLED_AFTER).count()
    }

    /// Whoever waits, as far as they fit, sorted.
    pub(super) fn take_batch(&mut self) -> Vec<Pending<O>> {
        let mut batch = Vec::with_capacity(self.pending().min(O::MAX_BATCH));
        let mut bytes = 0;
        while batch.len() < O::MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let next = self.urgent.pop_front().or_else(|| self.waiting.pop_front());
            let Some(pending) = next else { break };
            if !pending.is_cancelled() {
                bytes += pending.bytes;
                batch.push(pending);
            }
        }
        batch.sort_by(|one, other| one.id.as_ref().cmp(&other.id.as_ref()));
        batch
    }
}
