//! What the number of slots comes to, on a clock of the test's own: twenty milliseconds of it are one of a server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::operation::{Call, Operation, Pending};
use super::super::queue::BatchQueue;
use super::*;
use crate::store::{RecordIdRef, StoreError};

/// A server with two processors somewhere behind a wire.
#[derive(Clone)]
struct Server {
    wire: Duration,
    processors: Arc<Semaphore>,
    statements: Arc<AtomicUsize>,
    on_their_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

const fn ms20(micros: u64) -> Duration {
    Duration::from_micros(20 * micros)
}

impl Server {
    async fn work(&self, calls: usize) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let n = self.on_their_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(n, Ordering::Relaxed);
        sleep(self.wire / 2).await;
        let processor = self.processors.acquire().await.unwrap();
        sleep(ms20(150) + ms20(20) * u32::try_from(calls).unwrap()).await;
        drop(processor);
        // The flush, which all commits of a moment share.
        sleep(ms20(150)).await;
        sleep(self.wire / 2).await;
        self.on_their_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
struct Ask;

impl From<Ask> for () {
    fn from(_: Ask) {}
}

impl Call<Server> for Ask {
    async fn run_one(self, _: RecordIdRef<'_>, server: &Server) -> Result<(), StoreError> {
        server.work(1).await;
        Ok(())
    }
}

impl Operation for Server {
    type Args = ();
    type Answer = ();

    const MAX_BATCH: usize = 256;
    const SERVER_TIME: Duration = ms20(400);

    fn max_slots(&self) -> usize {
        16
    }

    async fn run_many(&self, batch: Vec<Pending<Self>>) {
        self.work(batch.len()).await;
        for call in batch {
            call.answer(Ok(()));
        }
    }
}

/// What was done in a fifth of a second of the server's.
struct Done {
    rounds: usize,
    statements: usize,
    /// On their way at once.
    most: usize,
}

/// Rounds of two calls by callers that begin the next one as soon as they are answered.
async fn rounds(wire_micros: u64, callers: usize, is_batching: bool) -> Done {
    let server = Server {
        wire: ms20(wire_micros),
        processors: Arc::new(Semaphore::new(2)),
        statements: Arc::default(),
        on_their_way: Arc::default(),
        most: Arc::default(),
    };
    let queues = [BatchQueue::new(server.clone(), is_batching), BatchQueue::new(server.clone(), is_batching)];
    // Without group commit, each statement has a connection of a pool.
    let pool = Arc::new(Semaphore::new(if is_batching { 1_000 } else { 32 }));
    let done = Arc::new(AtomicUsize::new(0));
    let mut all = JoinSet::new();
    for n in 0..callers {
        let (queues, done, pool) = (queues.clone(), done.clone(), pool.clone());
        all.spawn(async move {
            let key = n.to_string();
            sleep(Duration::from_millis(n as u64 % 7)).await;
            loop {
                for queue in &queues {
                    let _connection = pool.acquire().await.unwrap();
                    queue.call(RecordIdRef { principal: "", key: &key }, Ask).await.unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    sleep(ms20(50_000)).await;
    let before = (done.load(Ordering::Relaxed), server.statements.load(Ordering::Relaxed));
    sleep(ms20(200_000)).await;
    let most = server.most.load(Ordering::Relaxed);
    let (done, statements) = (done.load(Ordering::Relaxed), server.statements.load(Ordering::Relaxed));
    Done { rounds: done - before.0, statements: statements - before.1, most }
}

/// How many per cent of the rounds of callers who share nothing those get done who share statements.
async fn per_cent(wire_micros: u64, callers: usize) -> (usize, Done) {
    let alone = rounds(wire_micros, callers, false).await;
    let shared = rounds(wire_micros, callers, true).await;
    (shared.rounds * 100 / alone.rounds, shared)
}

#[tokio::test(start_paused = true)]
async fn near_a_server_few_slots_make_long_batches() {
    for (callers, least) in [(1, 100), (4, 100), (16, 150), (64, 400), (256, 500)] {
        let (per_cent, shared) = per_cent(0, callers).await;
        assert!(per_cent >= least, "{callers} callers have {per_cent} %");
        assert!(shared.most <= 4, "{callers} callers had {} statements on their way", shared.most);
    }
}

#[tokio::test(start_paused = true)]
async fn far_from_a_server_nobody_waits_for_the_wire() {
    for (wire, callers) in [(1_000, 4), (1_000, 16), (3_000, 4), (3_000, 16), (5_000, 16)] {
        let (per_cent, _) = per_cent(wire, callers).await;
        // Twenty rounds of a caller are in the time, so its ends are worth a few per cent.
        assert!(per_cent >= 94, "{callers} callers {wire} µs away have {per_cent} %");
    }
}

#[tokio::test(start_paused = true)]
async fn far_from_a_server_a_crowd_keeps_its_gain() {
    for (callers, least) in [(64, 150), (256, 300)] {
        let (per_cent, shared) = per_cent(3_000, callers).await;
        assert!(per_cent >= least, "{callers} callers have {per_cent} %");
        assert!(shared.statements < shared.rounds, "{callers} callers share statements");
    }
}

/// So many calls at once that those of late do not make them few.
const CROWD: usize = 100;

fn pace(took: impl IntoIterator<Item = u64>) -> Pace {
    let mut pace = Pace::new(Duration::from_micros(400));
    pace.comes(CROWD);
    took.into_iter().for_each(|micros| pace.took(Duration::from_micros(micros)));
    pace
}

#[tokio::test(start_paused = true)]
async fn slots_are_as_many_as_fill_the_server() {
    assert_eq!(pace([]).slots(), 1, "before anything is known");
    assert_eq!(pace([300; 50]).slots(), 1, "no wire");
    assert_eq!(pace((0..50).flat_map(|_| [300, 2_000])).slots(), 1, "no wire, and the server has too much to do");
    assert_eq!(pace([3_400; 50]).slots(), 16, "3 ms of wire, and 0.4 ms of the server's time");
    assert_eq!(pace((0..50).flat_map(|_| [3_400, 5_000])).slots(), 6, "it has more to do");
    assert_eq!(pace([3_400].into_iter().chain([30_000; 100])).slots(), 1, "it has far too much to do");
}

#[tokio::test(start_paused = true)]
async fn few_calls_have_a_slot_each() {
    let mut pace = pace([300; 50]);
    assert_eq!(pace.slots(), 1, "a crowd");
    (0..100).for_each(|_| pace.comes(2));
    assert_eq!(pace.slots(), 1, "the first of a crowd that come back");
    (0..300).for_each(|n| pace.comes(n % FEW + 1));
    assert_eq!(pace.slots(), FEW);
    pace.comes(FEW + 1);
    assert_eq!(pace.slots(), 1, "one more");
}

#[tokio::test(start_paused = true)]
async fn a_way_that_has_become_longer_is_learnt() {
    let mut pace = pace([300; 50]);
    for _ in 0..3 {
        sleep(WINDOW).await;
        (0..50).for_each(|_| pace.took(Duration::from_micros(3_400)));
    }
    assert_eq!(pace.slots(), 16);
}
