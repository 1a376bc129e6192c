use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::store_clock::{CLOCK_MAX_AGE, CLOCK_REFRESH_AGE, SAMPLE_RETRY_AFTER};
use super::*;
use crate::store::{ClockSample, ReservationOutcome, StoreError};

/// A store that shows a clock, and nothing else.
struct Clockwork {
    answer: Mutex<Result<Option<ClockSample>, StoreError>>,
    takes: Mutex<Duration>,
    samples: AtomicUsize,
}

#[async_trait]
impl IdempotencyStore for Clockwork {
    async fn reserve_or_fetch(
        &self,
        _: &str,
        _: &str,
        _: [u8; 32],
        _: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        unreachable!()
    }

    async fn complete(&self, _: &str, _: &str, _: Uuid, _: u16, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        self.samples.fetch_add(1, Ordering::SeqCst);
        // What the server says is so when the question arrives.
        let answer = self.answer.lock().unwrap().clone();
        let takes = *self.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        answer
    }
}

/// The store's clock need not be ours.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(43_200)
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    cache: Arc<ReplayCache>,
    clockwork: Arc<Clockwork>,
    store: Arc<dyn IdempotencyStore>,
}

impl Bench {
    fn new(session: Option<u128>) -> Self {
        let clockwork = Arc::new(Clockwork {
            answer: Mutex::new(Ok(session.map(|session| ClockSample { now: noon(), session }))),
            takes: Mutex::default(),
            samples: AtomicUsize::new(0),
        });
        Self { cache: Arc::default(), store: Arc::clone(&clockwork) as _, clockwork }
    }

    /// In session 1, which is known.
    async fn known() -> Self {
        let bench = Self::new(Some(1));
        assert!(bench.witness().0.is_none(), "not asked yet");
        bench.settle().await;
        bench
    }

    fn set(&self, answer: Result<Option<u128>, StoreError>) {
        let answer = answer.map(|session| session.map(|session| ClockSample { now: noon(), session }));
        *self.clockwork.answer.lock().unwrap() = answer;
    }

    /// Lets a sample that is under way be answered, if that takes no time.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    fn samples(&self) -> usize {
        self.clockwork.samples.load(Ordering::SeqCst)
    }

    fn find(&self, key: &str, hash: u8) -> Option<Hit> {
        match self.cache.find(&self.store, &claim(key, hash)) {
            Lookup::Hit(hit) => Some(hit),
            Lookup::Miss(_) => None,
        }
    }

    fn hits(&self, key: &str) -> bool {
        matches!(self.find(key, 1), Some(Hit::Replay(_)))
    }

    fn witness(&self) -> Witness {
        match self.cache.find(&self.store, &claim("nothing of it is kept", 1)) {
            Lookup::Miss(witness) => witness,
            Lookup::Hit(hit) => panic!("{hit:?}"),
        }
    }

    fn fetch(&self, key: &str, expires_at: SystemTime) {
        self.cache.insert_fetched(self.witness(), &record(key, expires_at, 1));
    }
}

fn record(key: &str, expires_at: SystemTime, body: usize) -> Arc<IdempotencyRecord> {
    Arc::new(IdempotencyRecord {
        key: key.to_owned(),
        principal_fingerprint: "p".to_owned(),
        request_hash: [1; 32],
        response_status: 201,
        response_headers: Vec::new(),
        response_body: vec![b'x'; body],
        created_at: SystemTime::UNIX_EPOCH,
        expires_at,
    })
}

fn claim(key: &str, hash: u8) -> OwnedClaim {
    OwnedClaim { id: RecordId::new("p", key), request_hash: [hash; 32], lease: MINUTE, retention: MINUTE }
}

/// So that the next hit counts whatever time has passed.
async fn confirm(bench: &Bench) {
    bench.cache.sample(&bench.store);
    bench.settle().await;
}

#[tokio::test(start_paused = true)]
async fn the_stores_clock_says_how_long() {
    let bench = Bench::known().await;
    tokio::time::advance(Duration::from_secs(30)).await;
    bench.fetch("k", noon() + MINUTE);
    bench.fetch("over", noon() + Duration::from_secs(29));
    let after = async |passed| {
        tokio::time::advance(passed).await;
        confirm(&bench).await;
    };
    after(Duration::ZERO).await;
    assert!(bench.hits("k") && matches!(bench.find("k", 2), Some(Hit::Conflict)));
    assert!(!bench.hits("over") && !bench.hits("other"));
    after(28 * SECOND).await;
    assert!(bench.hits("k"));
    after(SECOND).await;
    assert!(!bench.hits("k"), "a second before its end");
    assert!(bench.cache.outcomes.is_empty(), "and its memory is free");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_not_read_for_long_is_not_believed() {
    let bench = Bench::known().await;
    tokio::time::advance(CLOCK_MAX_AGE).await;
    bench.fetch("k", noon() + 60 * MINUTE);
    confirm(&bench).await;
    assert!(!bench.hits("k"));
}

#[tokio::test(start_paused = true)]
async fn the_retention_of_what_is_recorded_here_counts_from_its_reservation() {
    let bench = Bench::known().await;
    let (witness, asked) = (bench.witness(), Instant::now());
    tokio::time::advance(50 * SECOND).await;
    let outcome = Outcome { code: 201, metadata: vec![1], body: Bytes::from_static(b"paid") };
    bench.cache.insert_recorded(witness, &claim("k", 1), &outcome, asked);
    confirm(&bench).await;
    let Some(Hit::Replay(record)) = bench.find("k", 1) else { panic!() };
    assert_eq!(
        (record.response_status, &record.response_headers[..], &record.response_body[..]),
        (201, &[1][..], &b"paid"[..])
    );
    tokio::time::advance(9 * SECOND).await;
    confirm(&bench).await;
    assert!(!bench.hits("k"));
}

/// A machine's monotonic clock stands still while it is suspended.
#[tokio::test]
async fn a_suspended_machine_keeps_nothing_for_longer() {
    let bench = Bench::known().await;
    bench.fetch("k", noon() + 60 * MINUTE);
    let kept = bench.cache.outcomes.get(&RecordIdRef { principal: "p", key: "k" }.hashed()).unwrap();
    let hour = kept.until_by_the_wall.duration_since(SystemTime::now()).unwrap();
    assert!(hour > 58 * MINUTE && hour < 60 * MINUTE, "{hour:?}");
    let age = |by_the_wall| bench.cache.clock.unconfirmed_for(1, Instant::now(), by_the_wall).unwrap();
    assert!(age(SystemTime::now() + 2 * SECOND) >= 2 * SECOND, "while it was suspended, the server may have crashed");
    assert!(age(SystemTime::now() - MINUTE) > SESSION_MAX_AGE, "the clock on the wall was set back");
    bench.cache.outcomes.insert(RecordId::new("p", "k"), Cached { until_by_the_wall: SystemTime::now(), ..kept });
    assert!(!bench.hits("k") && bench.cache.outcomes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hit_counts_while_its_session_is_confirmed_and_asks_for_that() {
    let bench = Bench::known().await;
    bench.fetch("k", noon() + 60 * MINUTE);
    assert_eq!((bench.hits("k"), bench.samples()), (true, 1));
    tokio::time::advance(SESSION_MAX_AGE + Duration::from_millis(1)).await;
    assert_eq!((bench.hits("k"), bench.samples()), (false, 1), "who asks for it asks the store");
    bench.settle().await;
    assert_eq!((bench.hits("k"), bench.samples()), (true, 2), "its session was confirmed meanwhile");
    for n in 3..100 {
        tokio::time::advance(SESSION_REFRESH_AGE).await;
        assert!(bench.hits("k"), "where hits are frequent, they are not interrupted");
        bench.settle().await;
        assert!((0..10).all(|_| bench.hits("k")) && bench.samples() == n, "{n}");
    }
    tokio::time::advance(CLOCK_REFRESH_AGE / 2).await;
    assert_eq!(bench.samples(), 99, "without hits there are no samples");
}

#[tokio::test(start_paused = true)]
async fn with_its_session_all_that_is_kept_ends() {
    for answer in [Ok(Some(2)), Ok(None), Err(StoreError::Unavailable("away".to_owned()))] {
        let bench = Bench::known().await;
        bench.fetch("k", noon() + 60 * MINUTE);
        bench.fetch("l", noon() + 60 * MINUTE);
        bench.set(answer);
        tokio::time::advance(SESSION_REFRESH_AGE).await;
        assert!(bench.hits("k"), "within the second it is still told");
        bench.settle().await;
        assert!(!bench.hits("k") && !bench.hits("l") && bench.cache.outcomes.is_empty());
        // And comes not back with a session of the same number.
        bench.set(Ok(Some(1)));
        tokio::time::advance(SAMPLE_RETRY_AFTER).await;
        confirm(&bench).await;
        assert!(!bench.hits("k") && !bench.hits("l"));
        bench.fetch("k", noon() + 60 * MINUTE);
        assert!(bench.hits("k"), "what is fetched in the next session is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_in_one_session_is_not_kept_in_the_next() {
    let bench = Bench::known().await;
    let (before, asked) = (bench.witness(), Instant::now());
    // Committed, lost by a crash, and only then to be kept.
    bench.set(Ok(Some(2)));
    confirm(&bench).await;
    let outcome = Outcome { code: 201, metadata: Vec::new(), body: Bytes::new() };
    bench.cache.insert_recorded(before, &claim("k", 1), &outcome, asked);
    bench.cache.insert_fetched(before, &record("l", noon() + 60 * MINUTE, 1));
    assert!(!bench.hits("k") && !bench.hits("l"));
    bench.cache.insert_recorded(bench.witness(), &claim("k", 1), &outcome, asked);
    assert!(bench.hits("k"));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_confirms_as_of_its_sending() {
    let bench = Bench::known().await;
    bench.fetch("k", noon() + 60 * MINUTE);
    *bench.clockwork.takes.lock().unwrap() = 2 * SECOND;
    tokio::time::advance(2 * SECOND).await;
    assert!(!bench.hits("k"));
    tokio::time::sleep(2 * SECOND + Duration::from_millis(1)).await;
    assert_eq!((bench.hits("k"), bench.samples()), (false, 2), "the server may have crashed after it had looked");
    // The next one is never answered.
    *bench.clockwork.takes.lock().unwrap() = 60 * MINUTE;
    bench.settle().await;
    tokio::time::sleep(2 * SECOND + SAMPLE_TIMEOUT + Duration::from_millis(1)).await;
    assert!(!bench.hits("k"));
    tokio::time::sleep(SAMPLE_TIMEOUT + Duration::from_millis(1)).await;
    assert!(bench.cache.outcomes.is_empty(), "silence is a failure");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_shows_nothing_is_asked_now_and_then() {
    let bench = Bench::new(None);
    for _ in 0..100 {
        bench.fetch("k", SystemTime::now() + MINUTE);
        bench.settle().await;
        assert!(!bench.hits("k"));
    }
    assert_eq!(bench.samples(), 1);
    tokio::time::advance(SAMPLE_RETRY_AFTER).await;
    bench.witness();
    bench.settle().await;
    assert_eq!(bench.samples(), 2);
}

/// As one does that serves a single request and is then dropped.
#[test]
fn a_runtime_that_ends_takes_no_later_sample_along() {
    let bench = Bench::new(Some(1));
    *bench.clockwork.takes.lock().unwrap() = MINUTE;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let begin = async {
        bench.witness();
        bench.settle().await;
    };
    runtime().block_on(begin);
    *bench.clockwork.takes.lock().unwrap() = Duration::ZERO;
    runtime().block_on(async {
        bench.witness();
        bench.settle().await;
        bench.fetch("k", noon() + 60 * MINUTE);
        assert_eq!((bench.hits("k"), bench.samples()), (true, 2));
    });
}

#[tokio::test(start_paused = true)]
async fn it_is_bounded_in_bytes() {
    let bench = Bench::known().await;
    let cache = &bench.cache;
    cache.bound(1024 * 1024);
    for n in 0..10_000 {
        cache.insert_fetched(bench.witness(), &record(&n.to_string(), noon() + MINUTE, 1_000));
    }
    assert!(cache.outcomes.weight() <= 1024 * 1024);
    assert!(cache.outcomes.len() > 300, "{}", cache.outcomes.len());
    cache.insert_fetched(bench.witness(), &record("large", noon() + MINUTE, 100_000));
    assert!(!bench.hits("large"));
    let witness = bench.witness();
    cache.bound(0);
    cache.insert_fetched(witness, &record("k", noon() + MINUTE, 0));
    assert!(cache.outcomes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn turned_off_it_takes_no_sample() {
    let bench = Bench::new(Some(1));
    bench.cache.bound(0);
    bench.fetch("k", noon() + MINUTE);
    bench.settle().await;
    assert_eq!((bench.hits("k"), bench.samples()), (false, 0));
}
