use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::StoreError;

/// One kind of call.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    type Call: Send + 'static;
    type Answer: Send + 'static;

    /// The most calls that one statement takes.
    const MOST: usize;

    /// The lanes that are open while a [`CROWD`] waits.
    const CROWDED_LANES: usize;

    fn names(call: &Self::Call) -> (&str, &str);

    /// Answers every entry. They are sorted by their names; the first that came is the first of those that are equal.
    fn run(&self, batch: Vec<Entry<Self>>) -> impl Future<Output = ()> + Send;
}

/// Statements of one kind that may be on their way at once.
const LANES: usize = 1;

/// As many calls as this wait for more lanes to be open: each has a long batch then. Fewer would be split into batches
/// that are short.
const CROWD: usize = 32;

/// A statement that is on its way for longer than this (a row is locked, a connection is silent) no longer occupies its
/// lane: those who wait need not wait for it.
const STALLED: Duration = Duration::from_millis(250);

/// Statements of one kind on their way at once, stalled ones included.
const MOST_LANES: usize = 16;

/// The same where a call waits that goes first: it does not stand behind the others' stalled statements.
const MOST_LANES_FIRST: usize = 2 * MOST_LANES;

/// The room for calls that wait, in bytes; whoever finds none waits for some before its call is copied.
const ROOM: usize = 4 * 1024 * 1024;

/// What a call costs besides its own bytes, generously: this also bounds how many there are.
const OVERHEAD: usize = 1024;

/// A call of more bytes than this goes alone: its statement is long for its bytes and not for its commit, and those
/// beside it would wait for that.
const LARGE: usize = 64 * 1024;

/// The most bytes that one statement takes.
const MOST_BYTES: usize = 1024 * 1024;

/// Where the calls of one kind meet. A clone is the same line.
pub(super) struct Line<K: Kind> {
    shared: Arc<Shared<K>>,
}

struct Shared<K: Kind> {
    kind: K,
    state: Mutex<State<K>>,
    room: Arc<Semaphore>,
    room_first: Arc<Semaphore>,
}

struct State<K: Kind> {
    /// The statements that are on their way.
    lanes: Vec<Running>,
    named: u64,
    waiting_first: VecDeque<Entry<K>>,
    waiting: VecDeque<Entry<K>>,
}

struct Running {
    name: u64,
    since: Instant,
}

/// A call that waits for its answer.
pub(super) struct Entry<K: Kind> {
    pub(super) call: K::Call,
    bytes: usize,
    goes_first: bool,
    /// `None` where nobody waits for an answer.
    reply: Option<oneshot::Sender<Reply<K::Answer>>>,
    _room: Option<OwnedSemaphorePermit>,
}

enum Reply<A> {
    Answer(Result<A, StoreError>),
    /// The call is to be made in a statement of its own.
    Alone,
}

impl<K: Kind> Line<K> {
    pub(super) fn new(kind: K) -> Self {
        let (waiting_first, waiting) = (VecDeque::new(), VecDeque::new());
        let state = Mutex::new(State { lanes: Vec::new(), named: 0, waiting_first, waiting });
        let room = || Arc::new(Semaphore::new(ROOM));
        Self { shared: Arc::new(Shared { kind, state, room: room(), room_first: room() }) }
    }

    /// Makes a call of `bytes` bytes: `alone` where a lane is free, else with all the others that wait.
    pub(super) async fn call(
        &self,
        bytes: usize,
        own: impl FnOnce() -> K::Call,
        alone: impl Future<Output = Result<K::Answer, StoreError>>,
    ) -> Result<K::Answer, StoreError> {
        self.make(false, bytes, own, alone).await
    }

    /// The same, before all that wait in [`call`](Self::call): in the next batch, and with room of its own.
    #[cfg(feature = "sqlite")]
    pub(super) async fn call_first(
        &self,
        bytes: usize,
        own: impl FnOnce() -> K::Call,
        alone: impl Future<Output = Result<K::Answer, StoreError>>,
    ) -> Result<K::Answer, StoreError> {
        self.make(true, bytes, own, alone).await
    }

    async fn make(
        &self,
        goes_first: bool,
        bytes: usize,
        own: impl FnOnce() -> K::Call,
        alone: impl Future<Output = Result<K::Answer, StoreError>>,
    ) -> Result<K::Answer, StoreError> {
        let alone = pin!(alone);
        if let Some(_lane) = self.free_lane(goes_first) {
            return alone.await;
        }
        if bytes > LARGE {
            return alone.await;
        }
        let weight = u32::try_from(bytes + OVERHEAD).unwrap_or(u32::MAX);
        // Nobody closes it.
        let room = if goes_first { &self.shared.room_first } else { &self.shared.room };
        let room = Arc::clone(room).acquire_many_owned(weight).await.ok();
        let (reply, answer) = oneshot::channel();
        self.shared.enter(Entry { call: own(), bytes, goes_first, reply: Some(reply), _room: room });
        let mut answer = pin!(answer);
        let answer = loop {
            match tokio::time::timeout(STALLED, &mut answer).await {
                Ok(answer) => break answer,
                Err(_) => self.shared.relieve(),
            }
        };
        match answer {
            Ok(Reply::Answer(answer)) => answer,
            Ok(Reply::Alone) => alone.await,
            Err(_) => Err(StoreError::Unavailable("the runtime that made this call's statement has ended".to_owned())),
        }
    }

    /// Makes a call for which nobody waits. Where it cannot be made, it is not.
    pub(super) fn post(&self, call: K::Call) {
        self.shared.enter(Entry { call, bytes: 0, goes_first: true, reply: None, _room: None });
    }

    fn free_lane(&self, goes_first: bool) -> Option<Lane<K>> {
        let mut state = self.shared.lock();
        if !state.waiting_first.is_empty() || !(goes_first || state.waiting.is_empty()) {
            return None;
        }
        let name = state.open(goes_first)?;
        Some(Lane { shared: Arc::clone(&self.shared), name })
    }
}

impl<K: Kind> Clone for Line<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Kind> fmt::Debug for Line<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl<K: Kind> Shared<K> {
    /// Every change is whole before anything in it can panic, so a poisoned state is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, entry: Entry<K>) {
        let mut state = self.lock();
        let waiting = if entry.goes_first { &mut state.waiting_first } else { &mut state.waiting };
        waiting.push_back(entry);
        self.serve(state);
    }

    /// Called now and then by those who wait.
    fn relieve(self: &Arc<Self>) {
        self.serve(self.lock());
    }

    /// Starts a lane for those who wait, where one is free.
    fn serve(self: &Arc<Self>, mut state: MutexGuard<'_, State<K>>) {
        if state.waiting() == 0 {
            return;
        }
        let goes_first = !state.waiting_first.is_empty();
        if let Some(name) = state.open(goes_first) {
            drop(state);
            Driver::start(self, name);
        }
    }
}

impl<K: Kind> State<K> {
    /// Opens a lane, where one is free.
    fn open(&mut self, goes_first: bool) -> Option<u64> {
        let most = if goes_first { MOST_LANES_FIRST } else { MOST_LANES };
        if self.lanes.len() >= most || !self.has_free_lane() {
            return None;
        }
        self.named += 1;
        self.lanes.push(Running { name: self.named, since: Instant::now() });
        Some(self.named)
    }

    fn waiting(&self) -> usize {
        self.waiting_first.len() + self.waiting.len()
    }

    fn has_free_lane(&self) -> bool {
        let lanes = if self.waiting() < CROWD { LANES } else { K::CROWDED_LANES };
        self.lanes.iter().filter(|lane| lane.since.elapsed() < STALLED).count() < lanes
    }

    /// Whoever waits, as far as they fit, sorted.
    fn take_batch(&mut self) -> Vec<Entry<K>> {
        let mut batch = Vec::with_capacity(self.waiting().min(K::MOST));
        let mut bytes = 0;
        while batch.len() < K::MOST && bytes < MOST_BYTES {
            let next = self.waiting_first.pop_front().or_else(|| self.waiting.pop_front());
            let Some(entry) = next else { break };
            if !entry.is_forsaken() {
                bytes += entry.bytes;
                batch.push(entry);
            }
        }
        batch.sort_by(|one, other| K::names(&one.call).cmp(&K::names(&other.call)));
        batch
    }

    fn close(&mut self, name: u64) {
        self.lanes.retain(|lane| lane.name != name);
    }
}

/// The lane of a caller that makes its own statement. It ends with that, or with the caller; those who came meanwhile go
/// next.
struct Lane<K: Kind> {
    shared: Arc<Shared<K>>,
    name: u64,
}

impl<K: Kind> Drop for Lane<K> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.close(self.name);
        self.shared.serve(state);
    }
}

/// The lane of those who wait, on a task of its own: whoever goes away takes nobody along.
struct Driver<K: Kind> {
    shared: Arc<Shared<K>>,
    name: u64,
    is_over: bool,
}

impl<K: Kind> Driver<K> {
    /// Goes on with a lane that is open.
    fn start(shared: &Arc<Shared<K>>, name: u64) {
        let driver = Self { shared: Arc::clone(shared), name, is_over: false };
        // Without a runtime, `driver` ends here and sends everybody off alone.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(driver.drive());
        }
    }

    async fn drive(mut self) {
        while let Some(batch) = self.next() {
            self.shared.kind.run(batch).await;
        }
    }

    /// The next batch; `None` ends the lane.
    fn next(&mut self) -> Option<Vec<Entry<K>>> {
        let mut state = self.shared.lock();
        // Closed and opened anew: where this one was stalled, another may have taken its place.
        state.close(self.name);
        let batch = if state.has_free_lane() { state.take_batch() } else { Vec::new() };
        if batch.is_empty() {
            self.is_over = true;
            return None;
        }
        state.lanes.push(Running { name: self.name, since: Instant::now() });
        drop(state);
        Some(batch)
    }
}

impl<K: Kind> Drop for Driver<K> {
    /// A lane that does not end in order (its runtime shuts down, or there is a mistake in here) keeps nobody.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let waiting = {
            let mut state = self.shared.lock();
            state.close(self.name);
            (std::mem::take(&mut state.waiting_first), std::mem::take(&mut state.waiting))
        };
        waiting.0.into_iter().chain(waiting.1).for_each(Entry::send_alone);
    }
}

impl<K: Kind> Entry<K> {
    #[cfg(feature = "sqlite")]
    pub(super) fn goes_first(&self) -> bool {
        self.goes_first
    }

    /// Whether its caller has gone.
    pub(super) fn is_forsaken(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// An answer that nobody takes any more is dropped here.
    pub(super) fn answer(self, answer: Result<K::Answer, StoreError>) {
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::Answer(answer)));
        }
    }

    /// Lets the caller make a statement of its own.
    pub(super) fn send_alone(self) {
        if let Some(reply) = self.reply {
            drop(reply.send(Reply::Alone));
        }
    }
}

/// The entries of a sorted batch without those that have the same names as one before them, and those.
#[cfg(feature = "postgres")]
pub(super) fn without_repeats<K: Kind>(batch: Vec<Entry<K>>) -> (Vec<Entry<K>>, Vec<Entry<K>>) {
    let mut repeats = Vec::new();
    let mut unique: Vec<Entry<K>> = Vec::with_capacity(batch.len());
    for entry in batch {
        let repeats_the_last = unique.last().is_some_and(|last| K::names(&last.call) == K::names(&entry.call));
        if repeats_the_last { repeats.push(entry) } else { unique.push(entry) }
    }
    (unique, repeats)
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
