use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cratestack_schema::TableName;
use futures_util::future::{join_all, poll_immediate};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::task::JoinHandle;

use crate::store::{Begun, Claim, ClaimOutcome, IdempotencyStore as _, Isolation, LeaseState, Transact as _};
use crate::stores::sqlite::SqliteStore;
use crate::stores::sqlite::database::TICK;

use super::*;

#[path = "write_faults_tests.rs"]
mod faults;

// On one thread, so that all calls have been made before the slot that they wait for comes free.

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

type Reserved = Result<ClaimOutcome, StoreError>;

/// A store over a file, whose commits are counted.
struct Bench {
    folder: std::path::PathBuf,
    store: SqliteStore,
    commits: Arc<AtomicUsize>,
}

impl Bench {
    async fn new(connections: u32) -> Self {
        Self::with(connections, |options| options).await
    }

    async fn with(connections: u32, set: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions) -> Self {
        Self::over(connections, set, None).await
    }

    /// With the table in a file of its own, which is attached, where that has a name.
    async fn over(
        connections: u32,
        set: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
        attached: Option<&'static str>,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("cratestack-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.join("test.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(20))
            .journal_mode(SqliteJournalMode::Wal);
        let commits: Arc<AtomicUsize> = Arc::default();
        let counted = commits.clone();
        let attach = attached.map(|name| format!("ATTACH '{}' AS {name}", folder.join("attached.db").display()));
        let pool = SqlitePoolOptions::new().max_connections(connections).after_connect(move |connection, _| {
            let (counted, attach) = (counted.clone(), attach.clone());
            Box::pin(async move {
                if let Some(attach) = attach {
                    sqlx::raw_sql(AssertSqlSafe(attach)).execute(&mut *connection).await?;
                }
                let hook = move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    true
                };
                connection.lock_handle().await?.set_commit_hook(hook);
                Ok(())
            })
        });
        let table = TableName::new(attached, "cratestack_idempotency").unwrap();
        let store = SqliteStore::new(pool.connect_with(set(options)).await.unwrap()).table(table).unwrap();
        store.migrate().await.unwrap();
        Self { folder, store, commits }
    }

    /// Another process, or as good as one.
    async fn elsewhere(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.folder.join("test.db"));
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap()
    }

    /// Makes the calls while somebody else has the turn, so that they go together: behind one that is alone.
    async fn together<T: Send + 'static>(&self, calls: Vec<JoinHandle<T>>, turn: impl Sized) -> Vec<T> {
        polled().await;
        self.commits.store(0, Ordering::SeqCst);
        drop(turn);
        join_all(calls).await.into_iter().map(Result::unwrap).collect()
    }

    /// Occupies the slot until what is returned is dropped.
    async fn occupied(&self) -> impl Sized + use<> {
        let turn = self.store.database.turn.take().await;
        drop(self.release("nobody's", Uuid::nil()));
        polled().await;
        turn
    }

    fn reserve(&self, key: &str, hash: u8) -> JoinHandle<Reserved> {
        self.claim(key, hash, MINUTE, DAY)
    }

    fn claim(&self, key: &str, hash: u8, lease: Duration, retention: Duration) -> JoinHandle<Reserved> {
        let (store, key) = (self.store.clone(), key.to_owned());
        tokio::spawn(async move {
            let claim = Claim { principal: "p", key: &key, request_hash: [hash; 32], lease, retention };
            store.reserve(claim).await
        })
    }

    fn finish(&self, key: &str, token: Uuid, body: &[u8]) -> JoinHandle<Result<LeaseState, StoreError>> {
        let (store, key, body) = (self.store.clone(), key.to_owned(), Bytes::copy_from_slice(body));
        tokio::spawn(async move {
            let completion = Completion { principal: "p", key: &key, token, status: 201, headers: &[], body: &body };
            store.finish(completion).await
        })
    }

    fn renew(&self, key: &str, token: Uuid) -> JoinHandle<Result<LeaseState, StoreError>> {
        self.renew_for(key, token, MINUTE)
    }

    fn renew_for(&self, key: &str, token: Uuid, lease: Duration) -> JoinHandle<Result<LeaseState, StoreError>> {
        let (store, key) = (self.store.clone(), key.to_owned());
        tokio::spawn(async move { store.renew("p", &key, token, lease, DAY).await })
    }

    fn release(&self, key: &str, token: Uuid) -> JoinHandle<Result<(), StoreError>> {
        let (store, key) = (self.store.clone(), key.to_owned());
        tokio::spawn(async move { store.release("p", &key, token).await })
    }

    async fn reserved(&self, key: &str) -> Uuid {
        token(&self.reserve(key, 1).await.unwrap())
    }

    /// The commits since the slot came free, without that of whoever occupied it.
    fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst) - 1
    }

    async fn sql(&self, text: &str) {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&self.store.database.pool).await.unwrap();
    }

    async fn rows(&self, key: &str) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency WHERE key = ?1").bind(key);
        count.fetch_one(&self.store.database.pool).await.unwrap()
    }

    async fn until_free(&self, key: &str) {
        for _ in 0..5_000 {
            if self.rows(key).await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{key} is not given back");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Until everybody waits for the turn: a look before takes some trips to the connection's thread.
async fn polled() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

fn token(outcome: &Reserved) -> Uuid {
    match outcome {
        Ok(ClaimOutcome::Reserved { token, .. }) => *token,
        other => panic!("{other:?}"),
    }
}

/// One, or two: on a busy machine some may come too late.
fn shared(commits: usize) -> bool {
    (1..=2).contains(&commits)
}

#[tokio::test]
async fn calls_of_every_kind_share_commits() {
    let bench = Bench::new(8).await;
    let keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
    let turn = bench.occupied().await;
    let calls = keys.iter().map(|key| bench.reserve(key, 1)).collect();
    let tokens: Vec<_> = bench.together(calls, turn).await.iter().map(token).collect();
    assert!(shared(bench.commits()), "{}", bench.commits());

    let turn = bench.occupied().await;
    let held: Vec<_> = keys.iter().zip(tokens).collect();
    let renewals: Vec<_> = held.iter().map(|(key, token)| bench.renew(key, *token)).collect();
    let completions: Vec<_> = held[10..].iter().map(|(key, token)| bench.finish(key, *token, b"done")).collect();
    let releases: Vec<_> = held.iter().map(|(key, token)| bench.release(key, *token)).collect();
    let reservations: Vec<_> = keys.iter().map(|key| bench.reserve(key, 1)).collect();
    assert!(bench.together(renewals, turn).await.into_iter().all(|state| state == Ok(LeaseState::Held)));
    for completion in completions {
        assert_eq!(completion.await.unwrap(), Ok(LeaseState::Held));
    }
    for release in releases {
        assert_eq!(release.await.unwrap(), Ok(()));
    }
    // These have looked before anything was released or recorded.
    for reservation in reservations {
        assert_eq!(reservation.await.unwrap(), Ok(ClaimOutcome::InFlight));
    }
    assert!(shared(bench.commits()), "{}", bench.commits());
    for (n, key) in keys.iter().enumerate() {
        match bench.reserve(key, 1).await.unwrap() {
            Ok(ClaimOutcome::Reserved { attempt: 1, .. }) if n < 10 => {}
            Ok(ClaimOutcome::Replay(record)) if n >= 10 && record.response_body == b"done" => {}
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_crowd_shares_one_commit_and_not_two() {
    let bench = Bench::new(1).await;
    let token = bench.reserved("k").await;
    loop {
        let (turn, since) = (bench.store.database.turn.take().await, Instant::now());
        let mut calls = Vec::new();
        for _ in 0..2 {
            // These do not look first, so they come at once.
            calls.extend((0..100).map(|_| bench.renew("k", token)));
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        // A slot that has stalled would not count.
        let quick = since.elapsed() < Duration::from_millis(200);
        bench.commits.store(0, Ordering::SeqCst);
        drop(turn);
        assert!(join_all(calls).await.into_iter().all(|renewed| renewed.unwrap() == Ok(LeaseState::Held)));
        if quick {
            return assert_eq!(bench.commits(), 1);
        }
    }
}

#[tokio::test]
async fn a_renewal_is_in_the_first_batch_whoever_waits() {
    let bench = Bench::new(2).await;
    let held = bench.reserved("held").await;
    for round in 0.. {
        let since = Instant::now();
        let turn = bench.occupied().await;
        // These do not look first, so they come at once.
        let claims: Vec<_> = (0..3 * Writer::MAX_BATCH)
            .map(|n| {
                let (store, key) = (bench.store.clone(), format!("a {round} {n}"));
                tokio::spawn(async move {
                    let times = TICK.reservation(MINUTE, DAY);
                    let args = ReserveArgs { token: Uuid::new_v4(), request_hash: [1; 32], times };
                    store.write(RecordIdRef { principal: "p", key: &key }, Write::Reserve(args)).await
                })
            })
            .collect();
        let transaction = tokio::spawn({
            let store = bench.store.clone();
            async move { store.begin(None, Isolation::Default).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let (renewal, commits) = (bench.renew("held", held), bench.commits.clone());
        let renewal = tokio::spawn(async move { (renewal.await.unwrap(), commits.load(Ordering::SeqCst)) });
        tokio::task::yield_now().await;
        // A slot that has stalled would not count.
        let quick = since.elapsed() < Duration::from_millis(200);
        bench.commits.store(0, Ordering::SeqCst);
        drop(turn);
        let (renewed, commits) = renewal.await.unwrap();
        assert_eq!(renewed, Ok(LeaseState::Held));
        for claim in claims {
            let Ok(WriteAnswer::Reserved(Some(grant))) = claim.await.unwrap() else { panic!() };
            assert!(matches!(grant.take(), ClaimOutcome::Reserved { .. }));
        }
        assert_eq!(transaction.await.unwrap(), Ok(()));
        if quick {
            // That of whoever had the slot finds nothing, and is none.
            return assert!(commits <= 2, "{commits}");
        }
    }
}

#[tokio::test]
async fn turned_off_every_call_is_a_commit() {
    let mut bench = Bench::new(8).await;
    bench.store = bench.store.clone().group_commit(false);
    let turn = bench.occupied().await;
    let calls = (0..20).map(|n| bench.reserve(&format!("k{n}"), 1)).collect();
    assert!(bench.together(calls, turn).await.iter().map(token).all(|token| !token.is_nil()));
    assert_eq!(bench.commits(), 20);
}

#[tokio::test]
async fn a_database_in_memory_has_nothing_to_share() {
    let url = |url: &str| url.parse::<SqliteConnectOptions>().unwrap();
    let shares = |options: &SqliteConnectOptions| {
        SqliteStore::new(SqlitePool::connect_lazy_with(options.clone())).operations.writes.is_batching()
    };
    for options in [
        url("sqlite::memory:"),
        url("sqlite://:memory:"),
        url("sqlite:x?mode=memory"),
        url("sqlite://?mode=memory&cache=shared"),
        url("sqlite://"),
        url("sqlite:x?vfs=memdb"),
        SqliteConnectOptions::new(),
        SqliteConnectOptions::new().in_memory(true),
        SqliteConnectOptions::new().filename("x.db").in_memory(true),
        SqliteConnectOptions::new().filename(""),
        SqliteConnectOptions::new().filename("file:"),
        SqliteConnectOptions::new().filename("file::memory:?cache=shared"),
        SqliteConnectOptions::new().filename("file:x?cache=shared&mode=memory"),
    ] {
        assert!(!shares(&options), "{options:?}");
    }
    for options in [
        url("sqlite:x.db?mode=rwc"),
        url("sqlite:///a/memory?mode=ro"),
        SqliteConnectOptions::new().filename("C:\\x.db"),
        SqliteConnectOptions::new().filename("file:x.db?mode=rwc"),
        SqliteConnectOptions::new().filename("/a/x.db?mode=memory"),
    ] {
        assert!(shares(&options), "{options:?}");
    }
    let store = SqliteStore::new(SqlitePool::connect_lazy("sqlite::memory:").unwrap());
    assert!(store.group_commit(true).operations.writes.is_batching(), "who asks for it has it");
}

#[tokio::test]
async fn one_key_twice_is_answered_as_if_one_came_second() {
    let bench = Bench::new(8).await;
    let turn = bench.occupied().await;
    let calls = [1, 1, 2, 1].map(|hash| bench.reserve("k", hash)).into_iter().collect();
    let answers = bench.together(calls, turn).await;
    let reserved = answers.iter().position(|answer| matches!(answer, Ok(ClaimOutcome::Reserved { .. }))).unwrap();
    let winner = if reserved == 2 { 2 } else { 1 };
    for (n, hash) in [1, 1, 2, 1].into_iter().enumerate().filter(|(n, _)| *n != reserved) {
        let expected = if hash == winner { ClaimOutcome::InFlight } else { ClaimOutcome::Conflict };
        assert_eq!(answers[n], Ok(expected), "{n}");
    }
    let held = token(&answers[reserved]);

    let turn = bench.occupied().await;
    let calls = vec![bench.finish("k", held, b"first"), bench.finish("k", held, b"second")];
    assert_eq!(bench.together(calls, turn).await, [Ok(LeaseState::Held), Ok(LeaseState::Held)]);
    let replay = bench.reserve("k", winner).await.unwrap();
    assert!(matches!(&replay, Ok(ClaimOutcome::Replay(record)) if record.response_body == b"first"), "{replay:?}");

    let turn = bench.occupied().await;
    let calls = (0..3).map(|_| bench.claim("n", 1, Duration::ZERO, Duration::ZERO)).collect();
    let tokens: Vec<_> = bench.together(calls, turn).await.iter().map(token).collect();
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2], "what expires at once is taken over at once");
}

#[tokio::test]
async fn takeovers_and_stale_tokens_each_get_their_own_answer() {
    let bench = Bench::new(8).await;
    let dead = token(&bench.claim("dead", 1, Duration::from_millis(1), DAY).await.unwrap());
    let live = bench.reserved("live").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let turn = bench.occupied().await;
    let calls = vec![bench.reserve("dead", 1), bench.reserve("fresh", 1), bench.reserve("dead", 2)];
    let answers = bench.together(calls, turn).await;
    assert!(matches!(answers[0], Ok(ClaimOutcome::Reserved { attempt: 2, .. })), "{:?}", answers[0]);
    assert!(matches!(answers[1], Ok(ClaimOutcome::Reserved { attempt: 1, .. })), "{:?}", answers[1]);
    assert_eq!(answers[2], Ok(ClaimOutcome::Conflict), "a dead reservation is its request's");

    let turn = bench.occupied().await;
    let calls = vec![
        bench.renew("dead", dead),
        bench.finish("dead", dead, b"stale"),
        bench.finish("dead", token(&answers[0]), b"current"),
        bench.renew("live", live),
        bench.renew("live", Uuid::nil()),
    ];
    assert_eq!(
        bench.together(calls, turn).await,
        [false, false, true, true, false].map(|held| Ok(if held { LeaseState::Held } else { LeaseState::Lost }))
    );
    let Ok(ClaimOutcome::Replay(record)) = bench.reserve("dead", 1).await.unwrap() else { panic!() };
    assert_eq!(record.response_body, b"current");
}

/// However quick the commit is.
#[tokio::test]
async fn a_lease_that_has_ended_when_its_commit_is_answered_is_not_held() {
    let bench = Bench::new(8).await;
    let (long, none) = (bench.reserved("long").await, bench.reserved("none").await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let turn = bench.occupied().await;
    let calls = vec![bench.renew("long", long), bench.renew_for("none", none, Duration::ZERO)];
    let renewed = bench.together(calls, turn).await;
    assert_eq!(renewed[0], Ok(LeaseState::Held));
    assert!(matches!(renewed[1], Err(StoreError::Unavailable(_))), "{:?}", renewed[1]);
}

#[tokio::test]
async fn a_reservation_whose_caller_has_gone_is_given_back() {
    let bench = Bench::new(8).await;
    let elsewhere = bench.elsewhere().await;
    let turn = bench.occupied().await;
    let stays = bench.reserve("stays", 1);
    // This one is the first of the batch, and waits for whoever writes elsewhere.
    let during = bench.reserve("a key whose caller goes meanwhile", 1);
    let before = bench.reserve("gone before", 1);
    let store = bench.store.clone();
    let claim = Claim { principal: "p", key: "gone after", request_hash: [1; 32], lease: MINUTE, retention: DAY };
    let mut after = Box::pin(store.reserve(claim));
    for _ in 0..20 {
        assert!(poll_immediate(&mut after).await.is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    before.abort();
    polled().await;
    let writing = elsewhere.begin_with("BEGIN IMMEDIATE").await.unwrap();
    drop(turn);
    polled().await;
    during.abort();
    writing.rollback().await.unwrap();
    token(&stays.await.unwrap());
    assert_eq!(bench.rows("gone before").await, 0);
    bench.until_free("a key whose caller goes meanwhile").await;
    assert_eq!(bench.rows("gone after").await, 1, "its answer lies there");
    drop(after);
    bench.until_free("gone after").await;
    assert_eq!(bench.rows("stays").await, 1, "nobody is taken along");
}

#[tokio::test]
async fn what_nobody_waits_for_when_the_turn_comes_is_not_claimed_but_finished() {
    let bench = Bench::new(4).await;
    let held = bench.reserved("held").await;
    bench
        .sql(
            "CREATE TABLE claimed (key TEXT);
             CREATE TRIGGER claiming AFTER INSERT ON cratestack_idempotency BEGIN INSERT INTO claimed VALUES (NEW.key); END",
        )
        .await;
    let turn = bench.occupied().await;
    let (gone, stays) = (bench.reserve("gone", 1), bench.reserve("stays", 1));
    let finish = bench.finish("held", held, b"done");
    // So long that those who wait no longer wait for the one that went first, and form a batch.
    tokio::time::sleep(Duration::from_millis(600)).await;
    polled().await;
    gone.abort();
    finish.abort();
    polled().await;
    drop(turn);
    token(&stays.await.unwrap());
    let claimed: Vec<String> =
        sqlx::query_scalar("SELECT key FROM claimed").fetch_all(&bench.store.database.pool).await.unwrap();
    assert_eq!(claimed, ["stays"]);
    assert!(matches!(bench.reserve("held", 1).await.unwrap(), Ok(ClaimOutcome::Replay(_))));
}

async fn begin(store: &SqliteStore) -> OpenTransaction<sqlx::Sqlite> {
    match store.begin(None, Isolation::default()).await.unwrap() {
        Begun::Reserved { transaction, .. } => transaction,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_handler_s_transaction_and_batches_take_turns() {
    // Too little for whoever does not queue.
    let bench = Bench::with(4, |options| options.busy_timeout(Duration::from_millis(20))).await;
    let done = bench.reserved("done").await;
    assert_eq!(bench.finish("done", done, b"paid").await.unwrap(), Ok(LeaseState::Held));
    let first = begin(&bench.store).await;
    let calls: Vec<_> = (0..20).map(|n| bench.reserve(&format!("k{n}"), 1)).collect();
    polled().await;
    let store = bench.store.clone();
    let second = tokio::spawn(async move { begin(&store).await });
    // So long that those who wait no longer wait for the one that went first, and form a batch.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(calls.iter().all(|call| !call.is_finished()) && !second.is_finished());
    assert!(matches!(bench.reserve("done", 1).await.unwrap(), Ok(ClaimOutcome::Replay(_))), "which needs no turn");
    bench.store.rollback(first).await;
    // Behind at most the one call that went first and a batch, however many come meanwhile.
    let more = tokio::spawn({
        let store = bench.store.clone();
        async move {
            loop {
                join_all((0..8).map(|_| store.release("p", "k", Uuid::nil()))).await;
            }
        }
    });
    bench.store.rollback(second.await.unwrap()).await;
    more.abort();
    for call in calls {
        token(&call.await.unwrap());
    }
}

#[tokio::test]
async fn a_batch_pauses_for_those_before_it_and_counts() {
    let bench = Bench::new(1).await;
    let throttle = Arc::new(Throttle::new());
    let statements = Arc::clone(&bench.store.operations.writes.operation().statements);
    let database = bench.store.database.clone();
    let writer = Writer { database, statements, throttle: throttle.clone(), releases: None };
    let queue = BatchQueue::new(writer, true);
    let hour = Duration::from_hours(1);
    let from = Instant::now();
    throttle.held(from, from + hour);
    queue.post(RecordIdRef { principal: "p", key: "k" }.to_owned(), Write::Release { token: Uuid::nil() });
    let both = async {
        while throttle.held_since_pause().is_zero() || throttle.held_since_pause() >= hour {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it pauses, and counts anew");
}
