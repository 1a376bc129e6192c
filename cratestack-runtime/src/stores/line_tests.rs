use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{FutureExt as _, join_all, poll_immediate};
use tokio::sync::Notify;

use super::*;

/// A statement that ends when the test says so.
struct Held {
    gate: Arc<Semaphore>,
    begun: Arc<Notify>,
    batches: Batches,
}

type Batches = Arc<Mutex<Vec<Vec<String>>>>;

impl Kind for Held {
    type Call = String;
    type Answer = usize;

    const MOST: usize = 8;

    const CROWDED_LANES: usize = 2;

    fn names(call: &String) -> (&str, &str) {
        ("p", call)
    }

    async fn run(&self, batch: Vec<Entry<Self>>) {
        let size = batch.len();
        self.batches.lock().unwrap().push(batch.iter().map(|entry| entry.call.clone()).collect());
        self.begun.notify_one();
        self.gate.acquire().await.unwrap().forget();
        assert!(!batch.iter().any(|entry| entry.call == "panic"), "on purpose");
        for entry in batch {
            entry.answer(Ok(size));
        }
    }
}

fn line() -> (Line<Held>, Arc<Semaphore>, Arc<Notify>, Batches) {
    let held = Held { gate: Arc::new(Semaphore::new(0)), begun: Arc::default(), batches: Arc::default() };
    let (gate, begun, batches) = (held.gate.clone(), held.begun.clone(), held.batches.clone());
    (Line::new(held), gate, begun, batches)
}

const ALONE: usize = 0;

async fn call(line: &Line<Held>, key: &str) -> Result<usize, StoreError> {
    line.call(key.len(), || key.to_owned(), async { Ok(ALONE) }).await
}

/// Occupies the only lane.
fn occupy(line: &Line<Held>) -> (tokio::task::JoinHandle<()>, Arc<Notify>) {
    let (line, done) = (line.clone(), Arc::new(Notify::new()));
    let until = done.clone();
    let alone = async move {
        until.notified().await;
        Ok(ALONE)
    };
    (tokio::spawn(async move { drop(line.call(0, || unreachable!(), alone).await) }), done)
}

#[tokio::test]
async fn a_lone_caller_makes_its_own_call_and_copies_nothing() {
    let (line, ..) = line();
    let alone = line.call(1, || unreachable!("nothing is copied"), async { Ok(ALONE) });
    assert_eq!(poll_immediate(alone).await, Some(Ok(ALONE)), "and waits for nobody");
}

#[tokio::test]
async fn those_who_come_meanwhile_share_the_next_statement() {
    let (line, gate, _, batches) = line();
    let (_first, done) = occupy(&line);
    tokio::task::yield_now().await;
    let others = join_all(["c", "a", "b", "gone"].map(|key| {
        let line = line.clone();
        async move {
            if key == "gone" {
                poll_immediate(call(&line, key)).await.unwrap_or(Ok(99))
            } else {
                call(&line, key).await
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
async fn a_caller_that_goes_away_takes_nobody_along() {
    let (line, gate, begun, _) = line();
    let (first, _done) = occupy(&line);
    tokio::task::yield_now().await;
    let [one, other] = ["a", "b"].map(|key| {
        let line = line.clone();
        tokio::spawn(async move { call(&line, key).await })
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
    assert_eq!(call(&line, "c").await, Ok(ALONE), "the lane is free again");
}

#[tokio::test]
async fn a_statement_that_panics_tells_its_callers_and_keeps_nobody() {
    let (line, gate, _, _) = line();
    let (_first, done) = occupy(&line);
    tokio::task::yield_now().await;
    let calls = join_all((0..20).map(|n| {
        let line = line.clone();
        async move { call(&line, if n == 0 { "panic" } else { "z" }).await }
    }));
    let calls = tokio::spawn(calls);
    tokio::task::yield_now().await;
    done.notify_one();
    gate.add_permits(10);
    let answers = calls.await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), Held::MOST);
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(ALONE)).count(), 20 - Held::MOST);
}

#[test]
fn a_runtime_that_ends_keeps_nobody_of_another() {
    let (line, _, begun, _) = line();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ending, other) = (runtime(), runtime());
    let (_first, done) = ending.block_on(async { occupy(&line) });
    while line.shared.lock().lanes.is_empty() {
        std::thread::yield_now();
    }
    let spawn = |key: &'static str| {
        let line = line.clone();
        other.spawn(async move { call(&line, key).await })
    };
    let first: Vec<_> = (0..Held::MOST).map(|_| spawn("a")).collect();
    while line.shared.lock().waiting.len() < Held::MOST {
        std::thread::yield_now();
    }
    done.notify_one();
    other.block_on(begun.notified());
    let behind = spawn("b");
    while line.shared.lock().waiting.is_empty() {
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
    let (line, gate, _, _) = line();
    let (_stalled, _done) = occupy(&line);
    tokio::task::yield_now().await;
    gate.add_permits(1);
    assert_eq!(call(&line, "a").await, Ok(1));
    // The stalled one still is.
    assert_eq!(line.shared.lock().lanes.len(), 1);
    assert_eq!(call(&line, "b").await, Ok(ALONE), "and the next ones do not even wait");
}

#[tokio::test]
async fn a_crowd_opens_a_second_lane_and_no_third() {
    let (line, gate, begun, batches) = line();
    let (_first, done) = occupy(&line);
    tokio::task::yield_now().await;
    let mut calls = Vec::new();
    let mut come = async |callers: usize| {
        for _ in 0..callers {
            let (line, key) = (line.clone(), calls.len().to_string());
            calls.push(tokio::spawn(async move { call(&line, &key).await }));
        }
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    };
    come(CROWD - 1).await;
    assert_eq!(begun.notified().now_or_never(), None, "these wait for the lane that there is");
    come(1).await;
    assert_eq!(begun.notified().now_or_never(), Some(()), "these do not");
    come(3 * CROWD).await;
    assert_eq!(batches.lock().unwrap().len(), 1, "the second lane's");
    gate.add_permits(calls.len());
    done.notify_one();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(call(&line, "a").await, Ok(ALONE), "all lanes are free again");
    assert!(line.shared.lock().lanes.is_empty());
}

#[cfg(feature = "sqlite")]
async fn call_first(line: &Line<Held>, key: &str) -> Result<usize, StoreError> {
    line.call_first(key.len(), || key.to_owned(), async { Ok(ALONE) }).await
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_goes_first_is_in_the_next_statement_whoever_waits() {
    let (line, gate, begun, batches) = line();
    let (_first, done) = occupy(&line);
    tokio::task::yield_now().await;
    // More than there is room for, and a second lane is on its way with the first of them.
    let others: Vec<_> = (0..2 * ROOM / LARGE)
        .map(|n| {
            let line = line.clone();
            tokio::spawn(async move { line.call(LARGE, || format!("other {n}"), async { Ok(ALONE) }).await })
        })
        .collect();
    begun.notified().await;
    while line.shared.room.available_permits() > LARGE {
        tokio::task::yield_now().await;
    }
    let renewal = tokio::spawn({
        let line = line.clone();
        async move { call_first(&line, "a renewal").await }
    });
    while line.shared.lock().waiting_first.is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = batches.lock().unwrap().len();
    done.notify_one();
    gate.add_permits(others.len());
    assert_eq!(renewal.await.unwrap(), Ok(Held::MOST));
    assert_eq!(batches.lock().unwrap()[begun][0], "a renewal", "before all who wait already");
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_goes_first_does_not_stand_behind_stalled_statements() {
    let (line, _gate, _, _) = line();
    let now = Instant::now();
    line.shared.lock().lanes.extend((0..MOST_LANES as u64).map(|name| Running { name: 100 + name, since: now }));
    tokio::time::sleep(STALLED).await;
    assert_eq!(poll_immediate(call(&line, "another")).await, None, "there are enough statements on their way");
    assert_eq!(poll_immediate(call_first(&line, "a renewal")).await, Some(Ok(ALONE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_waits_and_is_not_copied() {
    const CALLERS: usize = 3 * ROOM / OVERHEAD;
    let (line, gate, _, _) = line();
    let (_first, done) = occupy(&line);
    tokio::task::yield_now().await;
    let copied = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (line, copied) = (line.clone(), copied.clone());
            tokio::spawn(async move {
                let own = || {
                    copied.fetch_add(1, Ordering::SeqCst);
                    n.to_string()
                };
                line.call(4, own, async { Ok(ALONE) }).await
            })
        })
        .collect();
    while copied.load(Ordering::SeqCst) < ROOM / (OVERHEAD + 4) {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(copied.load(Ordering::SeqCst), ROOM / (OVERHEAD + 4));
    done.notify_one();
    gate.add_permits(CALLERS);
    let mut alone = 0;
    for call in calls {
        alone += usize::from(call.await.unwrap() == Ok(ALONE));
    }
    assert_eq!(copied.load(Ordering::SeqCst) + alone, CALLERS, "whoever comes late may find the lane free");
}
