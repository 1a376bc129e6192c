//! Group commit: the calls that arrive while one statement is on its way form the next one.
//!
//! A commit costs a disk's flush and a round trip, however many rows it is for. There is no timer, so nobody ever waits
//! for company:
//!
//! ```text
//! caller A │ finds a free slot: makes its own statement ──┐ (on its own task, as if there were no queue)
//! caller B │      finds none: waits ──────────────────────┼──────────────────────────┐
//! caller C │           finds none: waits ─────────────────┼──────────────────────────┤ each takes its answer
//! slot     │ A's statement ───────────────────────────────┤ B's and C's ─────────────┤ free, or whoever came meanwhile
//! worker   │                     starts as A's slot ends ─┘ one statement for both ──┘ takes the next batch
//! ```
//!
//! - A slot is the right to send a statement. A caller that finds a free one has it for its own statement; a worker,
//!   which makes the statements of those who wait, has one from batch to batch. How many there are depends on how far
//!   the server is, and on whether the calls are few; `pace` says how that is known.
//! - Those who were answered together come again together, and the first of them would leave all others a whole
//!   statement behind. So where half of the slots are occupied and there is company, a caller that finds a free slot
//!   lets every task run that is ready to. If others have come meanwhile, they and the caller are one batch:
//!
//! ```text
//! worker   │ answers A, B and C ───┐
//! caller A │ wakes, calls: a slot is free, yields ──┬─ others wait: leaves its slot to a worker ─┐
//! caller B │       wakes, calls: waits ─────────────┤                                            ├─ one statement
//! caller C │             wakes, calls: waits ───────┘                                            ┘
//! ```
//!
//! - A worker is a task of its own: a caller that goes away takes nobody along, and its call is left out of the batch,
//!   or its answer is dropped.
//! - A statement that is on its way for [`STALLED_AFTER`] (a row is locked, a connection is silent) no longer counts as
//!   occupying its slot. Nobody is woken by that, so whoever waits looks for it now and then.
//! - A call that cannot share a statement, for its size or because its batch was refused, is made by its own caller. It
//!   waits for no slot, so only the store's pool bounds how many of these statements there are.
//! - An urgent call goes before all that are not: into the next batch, with bytes of its own to wait in, and past their
//!   stalled statements.
//! - Where a worker does not end in order (its runtime shuts down, or an operation panics), the callers of its batch
//!   get an error, as nobody knows what became of their calls. Those who wait for a later batch make their calls
//!   themselves.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::operation::{Call, Operation, Pending, Reply};
use super::state::{STALLED_AFTER, State, Statement};
use crate::store::{RecordId, RecordIdRef, StoreError};
use crate::util;

/// How many bytes the calls take up that wait or are in a batch: the urgent ones so many, and all others as many again.
/// A call that exceeds them waits before it is copied.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// What a call costs besides its own bytes, generously: this also bounds how many there are.
const CALL_OVERHEAD_BYTES: usize = 1024;

/// A call of more bytes than this makes its own statement: sending it takes longer than the commit that it could share,
/// and the calls beside it would wait for that.
const SOLO_BYTES: usize = 64 * 1024;

/// Where the calls of one operation meet. A clone is the same queue.
pub(crate) struct BatchQueue<O: Operation> {
    shared: Arc<Shared<O>>,
}

struct Shared<O: Operation> {
    operation: O,
    /// Whether calls share statements at all.
    is_batching: bool,
    state: Mutex<State<O>>,
    free_bytes: Arc<Semaphore>,
    free_bytes_urgent: Arc<Semaphore>,
}

impl<O: Operation> BatchQueue<O> {
    pub(crate) fn new(operation: O, is_batching: bool) -> Self {
        let bytes = || Arc::new(Semaphore::new(QUEUE_BYTES));
        let (free_bytes, free_bytes_urgent) = (bytes(), bytes());
        let state = Mutex::new(State::new(&operation));
        Self { shared: Arc::new(Shared { operation, is_batching, state, free_bytes, free_bytes_urgent }) }
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn operation(&self) -> &O {
        &self.shared.operation
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn is_batching(&self) -> bool {
        self.shared.is_batching
    }

    /// Makes a call: by itself where a slot is free, else with all the others that wait.
    pub(crate) async fn call(&self, id: RecordIdRef<'_>, call: impl Call<O>) -> Result<O::Answer, StoreError> {
        let mut slot = None;
        if self.shared.is_batching {
            let bytes = id.principal.len() + id.key.len() + call.bytes();
            slot = self.free_slot(call.is_urgent());
            let has_company = slot.as_ref().is_some_and(|slot| slot.has_company) && bytes <= SOLO_BYTES;
            if has_company {
                tokio::task::yield_now().await;
            }
            let shares = slot.is_none() && bytes <= SOLO_BYTES || has_company && self.shared.lock().pending() > 0;
            if shares && let Reply::Answer(answer) = self.wait(id, call, bytes, slot.take()).await {
                return answer;
            }
        }
        let begun = Instant::now();
        let answer = call.run_one(id, &self.shared.operation).await;
        if let Some(slot) = &mut slot {
            slot.took = answer.is_ok().then(|| begun.elapsed());
            slot.is_over = true;
        }
        drop(slot);
        answer
    }

    /// Waits for the statement of a worker. A caller that has a slot leaves it to the worker.
    async fn wait(
        &self,
        id: RecordIdRef<'_>,
        call: impl Call<O>,
        bytes: usize,
        slot: Option<Slot<O>>,
    ) -> Reply<O::Answer> {
        let is_urgent = call.is_urgent();
        let weight = u32::try_from(bytes + CALL_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        let free_bytes = Arc::clone(if is_urgent { &self.shared.free_bytes_urgent } else { &self.shared.free_bytes });
        let permit = if slot.is_some() {
            // Those who have the bytes may be waiting for the slot.
            let Ok(permit) = free_bytes.try_acquire_many_owned(weight) else { return Reply::RunOne };
            Some(permit)
        } else {
            // Nobody closes it.
            free_bytes.acquire_many_owned(weight).await.ok()
        };
        let (reply, answer) = oneshot::channel();
        let (id, args) = (id.to_owned(), call.into());
        self.shared.enter(Pending { id, args, bytes, is_urgent, reply: Some(reply), _permit: permit });
        drop(slot);
        let mut answer = pin!(answer);
        loop {
            match tokio::time::timeout(STALLED_AFTER, &mut answer).await {
                Ok(Ok(reply)) => return reply,
                Ok(Err(_)) => {
                    let why = "the task that made this call's statement has ended without an answer".to_owned();
                    return Reply::Answer(Err(StoreError::Unavailable(why)));
                }
                // A statement stalls without telling anybody.
                Err(_) => self.shared.serve(self.shared.lock()),
            }
        }
    }

    /// Makes an urgent call for which nobody waits. Where it cannot be made, it is not.
    ///
    /// It waits for no bytes, as it may come from a `drop`, so nothing here bounds how many of them there are: each
    /// gives back one reservation.
    pub(crate) fn post(&self, id: RecordId, args: O::Args) {
        self.shared.enter(Pending { id, args, bytes: 0, is_urgent: true, reply: None, _permit: None });
    }

    fn free_slot(&self, is_urgent: bool) -> Option<Slot<O>> {
        let mut state = self.shared.lock();
        state.call_comes();
        // While others wait, a slot may be free all the same, where a statement has stalled since. It is theirs: this
        // call goes behind them, and its coming starts the worker that takes them all.
        if !state.urgent.is_empty() || !(is_urgent || state.waiting.is_empty()) {
            return None;
        }
        let number = state.begin_statement(is_urgent)?;
        let has_company = state.has_company();
        Some(Slot { shared: Arc::clone(&self.shared), number, has_company, is_over: false, took: None })
    }
}

impl<O: Operation> Clone for BatchQueue<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<O: Operation> fmt::Debug for BatchQueue<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchQueue")
    }
}

impl<O: Operation> Shared<O> {
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        util::lock(&self.state)
    }

    fn enter(self: &Arc<Self>, pending: Pending<O>) {
        let mut state = self.lock();
        let queue = if pending.is_urgent { &mut state.urgent } else { &mut state.waiting };
        queue.push_back(pending);
        self.serve(state);
    }

    /// Starts a worker for those who wait, where a slot is free.
    fn serve(self: &Arc<Self>, mut state: MutexGuard<'_, State<O>>) {
        if state.pending() == 0 {
            return;
        }
        let is_urgent = !state.urgent.is_empty();
        if let Some(number) = state.begin_statement(is_urgent) {
            drop(state);
            Worker::start(self, number);
        }
    }
}

/// The slot of a caller that makes its own statement. It ends with that, or with the caller; those who came meanwhile
/// go next.
struct Slot<O: Operation> {
    shared: Arc<Shared<O>>,
    number: u64,
    /// Whether others are likely to call in this moment.
    has_company: bool,
    /// Whether its statement was made.
    is_over: bool,
    took: Option<Duration>,
}

impl<O: Operation> Drop for Slot<O> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if self.is_over {
            state.last_batch = 1;
        }
        state.end_statement(self.number, self.took);
        self.shared.serve(state);
    }
}

/// Makes the statements of those who wait, on a task of its own.
struct Worker<O: Operation> {
    shared: Arc<Shared<O>>,
    number: u64,
    is_over: bool,
}

impl<O: Operation> Worker<O> {
    /// Goes on with a slot that is occupied.
    fn start(shared: &Arc<Shared<O>>, number: u64) {
        let worker = Self { shared: Arc::clone(shared), number, is_over: false };
        // Without a runtime, `worker` ends here and sends everybody off alone.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(worker.work());
        }
    }

    async fn work(mut self) {
        let mut took = None;
        while let Some(batch) = self.next_batch(took) {
            let begun = Instant::now();
            self.shared.operation.run_many(batch).await;
            took = Some(begun.elapsed());
        }
    }

    /// `None` ends the worker.
    fn next_batch(&mut self, took: Option<Duration>) -> Option<Vec<Pending<O>>> {
        let mut state = self.shared.lock();
        // The slot is given back and occupied anew: where this statement stalled, another may have taken its place.
        state.end_statement(self.number, took);
        let batch = if state.has_free_slot() { state.take_batch() } else { Vec::new() };
        if batch.is_empty() {
            self.is_over = true;
            return None;
        }
        state.on_their_way.push(Statement { number: self.number, since: Instant::now(), calls: batch.len() });
        state.last_batch = batch.len();
        drop(state);
        Some(batch)
    }
}

impl<O: Operation> Drop for Worker<O> {
    /// A worker that does not end in order keeps nobody. The callers of its own batch have an error by then: that was
    /// dropped with the statement.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (urgent, waiting) = {
            let mut state = self.shared.lock();
            state.end_statement(self.number, None);
            (std::mem::take(&mut state.urgent), std::mem::take(&mut state.waiting))
        };
        urgent.into_iter().chain(waiting).for_each(Pending::let_run_one);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
