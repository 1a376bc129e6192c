use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{FutureExt as _, join_all, poll_immediate};
use tokio::sync::Notify;

use super::super::state::{CROWD_THRESHOLD, MAX_STATEMENTS};
use super::*;
use crate::store::RecordIdRef;

/// A statement that ends when the test says so.
struct Held {
    gate: Arc<Semaphore>,
    begun: Arc<Notify>,
    batches: Batches,
}

type Batches = Arc<Mutex<Vec<Vec<String>>>>;

impl Operation for Held {
    type Args = ();
    type Answer = usize;

    const MAX_BATCH: usize = 8;

    const SLOTS_WHEN_CROWDED: usize = 2;

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        let size = batch.len();
        self.batches.lock().unwrap().push(batch.iter().map(|pending| pending.id.key().to_owned()).collect());
        self.begun.notify_one();
        self.gate.acquire().await.unwrap().forget();
        assert!(!batch.iter().any(|pending| pending.id.key() == "panic"), "on purpose");
        for pending in batch {
            pending.answer(Ok(size));
        }
    }
}

#[derive(Clone, Copy, Default)]
struct TestCall<'a> {
    /// Besides the key's.
    bytes: usize,
    is_urgent: bool,
    copied: Option<&'a AtomicUsize>,
    /// What its own statement waits for.
    until: Option<&'a Notify>,
}

const ALONE: usize = 0;

impl From<TestCall<'_>> for () {
    fn from(call: TestCall<'_>) {
        if let Some(copied) = call.copied {
            copied.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Call<Held> for TestCall<'_> {
    fn bytes(self) -> usize {
        self.bytes
    }

    fn is_urgent(self) -> bool {
        self.is_urgent
    }

    async fn run_one(self, _: RecordIdRef<'_>, _: &Held) -> Result<usize, StoreError> {
        if let Some(until) = self.until {
            until.notified().await;
        }
        Ok(ALONE)
    }
}

fn queue() -> (BatchQueue<Held>, Arc<Semaphore>, Arc<Notify>, Batches) {
    let held = Held { gate: Arc::new(Semaphore::new(0)), begun: Arc::default(), batches: Arc::default() };
    let (gate, begun, batches) = (held.gate.clone(), held.begun.clone(), held.batches.clone());
    (BatchQueue::new(held, true), gate, begun, batches)
}

fn id(key: &str) -> RecordIdRef<'_> {
    RecordIdRef { principal: "", key }
}

async fn call(queue: &BatchQueue<Held>, key: &str) -> Result<usize, StoreError> {
    queue.call(id(key), TestCall::default()).await
}

/// Occupies the only slot.
fn occupy(queue: &BatchQueue<Held>) -> (tokio::task::JoinHandle<()>, Arc<Notify>) {
    let (queue, done) = (queue.clone(), Arc::new(Notify::new()));
    let until = done.clone();
    let occupying = async move {
        let call = TestCall { until: Some(&until), ..TestCall::default() };
        assert_eq!(queue.call(id(""), call).await, Ok(ALONE));
    };
    (tokio::spawn(occupying), done)
}

#[tokio::test]
async fn a_lone_caller_makes_its_own_call_and_copies_nothing() {
    let (queue, ..) = queue();
    let copied = AtomicUsize::new(0);
    let alone = queue.call(id("k"), TestCall { copied: Some(&copied), ..TestCall::default() });
    assert_eq!(poll_immediate(alone).await, Some(Ok(ALONE)), "and waits for nobody");
    assert_eq!(copied.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn those_who_come_meanwhile_share_the_next_statement() {
    let (queue, gate, _, batches) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    let others = join_all(["c", "a", "b", "gone"].map(|key| {
        let queue = queue.clone();
        async move {
            if key == "gone" {
                poll_immediate(call(&queue, key)).await.unwrap_or(Ok(99))
            } else {
                call(&queue, key).await
            }
        }
    }));
    let others = tokio::spawn(others);
    tokio::task::yield_now().await;
    done.notify_one();
    gate.add_permits(1);
    assert_eq!(others.await.unwrap(), [Ok(3), Ok(3), Ok(3), Ok(99)]);
    assert_eq!(*batches.lock().unwrap(), [["a", "b", "c"]], "sorted, and without the one that has gone");
}

#[tokio::test]
async fn those_who_were_answered_together_come_again_together() {
    let (queue, gate, _, batches) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    let calls = tokio::spawn(join_all(["a", "b", "c"].map(|key| {
        let queue = queue.clone();
        tokio::spawn(async move { [call(&queue, key).await, call(&queue, key).await] })
    })));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    done.notify_one();
    gate.add_permits(2);
    for answers in calls.await.unwrap() {
        assert_eq!(answers.unwrap(), [Ok(3), Ok(3)]);
    }
    assert_eq!(*batches.lock().unwrap(), [["a", "b", "c"], ["a", "b", "c"]]);
    assert_eq!(call(&queue, "d").await, Ok(ALONE), "who finds nobody is alone again");
    assert!(queue.shared.lock().on_their_way.is_empty());
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_looks_for_company_leaves_its_slot() {
    let (queue, gate, _, _) = queue();
    queue.shared.lock().last_batch = 3;
    assert_eq!(poll_immediate(call(&queue, "gone")).await, None, "it lets others run");
    assert!(queue.shared.lock().on_their_way.is_empty());
    gate.add_permits(1);
    assert_eq!(call(&queue, "a").await, Ok(ALONE));
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nobody_along() {
    let (queue, gate, begun, _) = queue();
    let (first, _done) = occupy(&queue);
    tokio::task::yield_now().await;
    let [one, other] = ["a", "b"].map(|key| {
        let queue = queue.clone();
        tokio::spawn(async move { call(&queue, key).await })
    });
    tokio::task::yield_now().await;
    first.abort();
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.notified().now_or_never(), Some(()), "the next one goes at once");
    one.abort();
    gate.add_permits(1);
    assert_eq!(other.await.unwrap(), Ok(2));
    assert_eq!(call(&queue, "c").await, Ok(ALONE), "the slot is free again");
}

#[tokio::test]
async fn a_statement_that_panics_tells_its_callers_and_keeps_nobody() {
    let (queue, gate, _, _) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    let calls = join_all((0..20).map(|n| {
        let queue = queue.clone();
        async move { call(&queue, if n == 0 { "panic" } else { "z" }).await }
    }));
    let calls = tokio::spawn(calls);
    tokio::task::yield_now().await;
    done.notify_one();
    gate.add_permits(10);
    let answers = calls.await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), Held::MAX_BATCH);
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(ALONE)).count(), 20 - Held::MAX_BATCH);
}

#[test]
fn a_runtime_that_ends_keeps_nobody_of_another() {
    let (queue, _, begun, _) = queue();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ending, other) = (runtime(), runtime());
    let (_first, done) = ending.block_on(async { occupy(&queue) });
    while queue.shared.lock().on_their_way.is_empty() {
        std::thread::yield_now();
    }
    let spawn = |key: &'static str| {
        let queue = queue.clone();
        other.spawn(async move { call(&queue, key).await })
    };
    let first: Vec<_> = (0..Held::MAX_BATCH).map(|_| spawn("a")).collect();
    while queue.shared.lock().waiting.len() < Held::MAX_BATCH {
        std::thread::yield_now();
    }
    done.notify_one();
    other.block_on(begun.notified());
    let behind = spawn("b");
    while queue.shared.lock().waiting.is_empty() {
        std::thread::yield_now();
    }
    drop(ending);
    for call in first {
        assert!(matches!(other.block_on(call).unwrap(), Err(StoreError::Unavailable(_))));
    }
    assert_eq!(other.block_on(behind).unwrap(), Ok(ALONE));
}

#[tokio::test]
async fn a_stalled_statement_holds_nobody_up() {
    let (queue, gate, _, _) = queue();
    let (_stalled, _done) = occupy(&queue);
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert_eq!(call(&queue, "a").await, Ok(1));
    // The stalled one still is.
    assert_eq!(queue.shared.lock().on_their_way.len(), 1);
    assert_eq!(call(&queue, "b").await, Ok(ALONE), "and the next ones do not even wait");
}

#[tokio::test]
async fn a_crowd_has_a_second_worker_and_no_third() {
    let (queue, gate, begun, batches) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    let mut calls = Vec::new();
    let mut come = async |callers: usize| {
        for _ in 0..callers {
            let (queue, key) = (queue.clone(), calls.len().to_string());
            calls.push(tokio::spawn(async move { call(&queue, &key).await }));
        }
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    };
    come(CROWD_THRESHOLD - 1).await;
    assert_eq!(begun.notified().now_or_never(), None, "these wait for the slot that there is");
    come(1).await;
    assert_eq!(begun.notified().now_or_never(), Some(()), "these do not");
    come(3 * CROWD_THRESHOLD).await;
    assert_eq!(batches.lock().unwrap().len(), 1, "the second worker's");
    gate.add_permits(calls.len());
    done.notify_one();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(call(&queue, "a").await, Ok(ALONE), "all slots are free again");
    assert!(queue.shared.lock().on_their_way.is_empty());
}

async fn call_urgently(queue: &BatchQueue<Held>, key: &str) -> Result<usize, StoreError> {
    queue.call(id(key), TestCall { is_urgent: true, ..TestCall::default() }).await
}

#[tokio::test]
async fn what_is_urgent_is_in_the_next_statement_whoever_waits() {
    let (queue, gate, begun, batches) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    // More than may wait, and a second statement is on its way with the first of them.
    let others: Vec<_> = (0..2 * QUEUE_BYTES / SOLO_BYTES)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let key = &format!("other {n}");
                queue.call(id(key), TestCall { bytes: SOLO_BYTES - key.len(), ..TestCall::default() }).await
            })
        })
        .collect();
    begun.notified().await;
    while queue.shared.free_bytes.available_permits() > SOLO_BYTES {
        tokio::task::yield_now().await;
    }
    let renewal = tokio::spawn({
        let queue = queue.clone();
        async move { call_urgently(&queue, "a renewal").await }
    });
    while queue.shared.lock().urgent.is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = batches.lock().unwrap().len();
    done.notify_one();
    gate.add_permits(others.len());
    assert_eq!(renewal.await.unwrap(), Ok(Held::MAX_BATCH));
    assert_eq!(batches.lock().unwrap()[begun][0], "a renewal", "before all who wait already");
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn what_is_urgent_does_not_stand_behind_stalled_statements() {
    let (queue, _gate, _, _) = queue();
    let now = Instant::now();
    queue.shared.lock().on_their_way.extend((0..MAX_STATEMENTS as u64).map(|number| Statement {
        number: 100 + number,
        since: now,
        calls: 1,
    }));
    tokio::time::sleep(STALLED_AFTER).await;
    assert_eq!(poll_immediate(call(&queue, "another")).await, None, "there are enough statements on their way");
    assert_eq!(poll_immediate(call_urgently(&queue, "a renewal")).await, Some(Ok(ALONE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_waits_and_is_not_copied() {
    const CALLERS: usize = 3 * QUEUE_BYTES / CALL_OVERHEAD_BYTES;
    let (queue, gate, _, _) = queue();
    let (_first, done) = occupy(&queue);
    tokio::task::yield_now().await;
    let copied = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (queue, copied) = (queue.clone(), copied.clone());
            tokio::spawn(async move {
                let key = &format!("{n:04}");
                queue.call(id(key), TestCall { copied: Some(&copied), ..TestCall::default() }).await
            })
        })
        .collect();
    while copied.load(Ordering::SeqCst) < QUEUE_BYTES / (CALL_OVERHEAD_BYTES + 4) {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(copied.load(Ordering::SeqCst), QUEUE_BYTES / (CALL_OVERHEAD_BYTES + 4));
    done.notify_one();
    gate.add_permits(CALLERS);
    let mut alone = 0;
    for call in calls {
        alone += usize::from(call.await.unwrap() == Ok(ALONE));
    }
    assert_eq!(copied.load(Ordering::SeqCst) + alone, CALLERS, "whoever comes late may find the slot free");
}
