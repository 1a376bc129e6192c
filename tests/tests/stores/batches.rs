//! Calls that share a statement: each gets the answer that it would have got alone.
//!
//! These tests run on one thread, so that all calls have been made before the slots that they wait for come free.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore, StoreError};
use cratestack_tests::postgres::TestDatabase;
use futures_util::future::{join_all, poll_immediate};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::databases::{postgres, postgres_pool};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Reserved = Result<ClaimOutcome, StoreError>;

fn claim(key: &str, hash: u8) -> Claim<'_> {
    Claim { principal: "p", key, request_hash: [hash; 32], lease: MINUTE, retention: DAY }
}

fn reserve(store: &PostgresStore, key: &str, hash: u8) -> Call<Reserved> {
    let (store, key) = (store.clone(), key.to_owned());
    Box::pin(async move { store.reserve(claim(&key, hash)).await })
}

fn finish(store: &PostgresStore, key: &str, token: Uuid, body: &'static str) -> Call<Result<LeaseState, StoreError>> {
    let (store, key) = (store.clone(), key.to_owned());
    Box::pin(async move {
        let body = &Bytes::from_static(body.as_bytes());
        store.finish(Completion { principal: "p", key: &key, token, status: 201, headers: &[], body }).await
    })
}

fn renew(store: &PostgresStore, key: &str, token: Uuid) -> Call<Result<LeaseState, StoreError>> {
    let (store, key) = (store.clone(), key.to_owned());
    Box::pin(async move { store.renew("p", &key, token, MINUTE, DAY).await })
}

fn release(store: &PostgresStore, key: &str, token: Uuid) -> Call<Result<(), StoreError>> {
    let (store, key) = (store.clone(), key.to_owned());
    Box::pin(async move { store.release("p", &key, token).await })
}

fn token(outcome: &Reserved) -> Uuid {
    match outcome {
        Ok(ClaimOutcome::Reserved { token, .. }) => *token,
        other => panic!("{other:?}"),
    }
}

async fn reserved(store: &PostgresStore, key: &str) -> Uuid {
    token(&reserve(store, key, 1).await)
}

/// The operation whose slots are occupied.
#[derive(Clone, Copy)]
enum Operation {
    Reserve,
    Finish,
    Renew,
    Release,
}

/// So many calls at once have a slot each, where that is not more than half of the pool.
const FEW: u32 = 4;

/// Makes calls of this kind that wait for locks until the transaction ends: as many as have a slot each, so that all who
/// come after them wait for each other's company. The store has as many connections as the pool.
async fn occupy(pool: &PgPool, store: &PostgresStore, operation: Operation) -> Transaction<'static, Postgres> {
    let slots = (pool.options().get_max_connections() / 2).clamp(1, FEW);
    let keys: Vec<_> = (0..slots).map(|_| Uuid::new_v4().to_string()).collect();
    let mut held = Vec::new();
    for key in &keys {
        held.push(match operation {
            Operation::Reserve => Uuid::nil(),
            _ => reserved(store, key).await,
        });
    }
    let mut other = pool.begin().await.unwrap();
    let lock = match operation {
        Operation::Reserve => {
            "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
             SELECT 'p', key, sha256(''), gen_random_uuid(), NOW() + INTERVAL '1 day' FROM UNNEST($1) AS key"
        }
        _ => "SELECT 1 FROM cratestack_idempotency WHERE key = ANY($1) FOR UPDATE",
    };
    sqlx::query(lock).bind(&keys).execute(&mut *other).await.unwrap();
    let before = waiting_alone(pool).await;
    for (key, held) in keys.iter().zip(held) {
        match operation {
            Operation::Reserve => drop(tokio::spawn(reserve(store, key, 1))),
            Operation::Finish => drop(tokio::spawn(finish(store, key, held, "blocker"))),
            Operation::Renew => drop(tokio::spawn(renew(store, key, held))),
            Operation::Release => drop(tokio::spawn(release(store, key, held))),
        }
    }
    let occupied = before + i64::from(slots);
    until("all slots are occupied", async || waiting_alone(pool).await == occupied).await;
    other
}

/// How many statements for one key wait for a lock.
async fn waiting_alone(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query NOT LIKE '%asked%'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..5_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("not in time: {what}");
}

async fn polled_once() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Makes the calls while all slots are occupied, so that they go together.
async fn together<T: Send + 'static>(
    pool: &PgPool,
    store: &PostgresStore,
    operation: Operation,
    calls: Vec<Call<T>>,
) -> Vec<T> {
    let other = occupy(pool, store, operation).await;
    let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    polled_once().await;
    other.rollback().await.unwrap();
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

/// How many transactions wrote the rows whose key is like this.
async fn transactions(pool: &PgPool, like: &str) -> i64 {
    sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM cratestack_idempotency WHERE key LIKE $1")
        .bind(like)
        .fetch_one(pool)
        .await
        .unwrap()
}

fn keys(prefix: &str) -> Vec<String> {
    (0..20).map(|n| format!("{prefix}{n}")).collect()
}

/// A statement or two: a busy machine may let the slot stall before all have come.
fn shared(transactions: i64) -> bool {
    (1..=2).contains(&transactions)
}

#[tokio::test]
async fn many_callers_share_statements_of_every_kind() {
    let (_database, pool, store) = postgres(8).await;
    let keys = keys("k");
    let calls = keys.iter().map(|key| reserve(&store, key, 1)).collect();
    let tokens: Vec<_> = together(&pool, &store, Operation::Reserve, calls).await.iter().map(token).collect();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 20);
    assert!(shared(transactions(&pool, "k%").await));

    let calls = keys.iter().zip(&tokens).map(|(key, token)| renew(&store, key, *token)).collect();
    let renewed = together(&pool, &store, Operation::Renew, calls).await;
    assert!(renewed.iter().all(|tenure| *tenure == Ok(LeaseState::Held)));
    assert!(shared(transactions(&pool, "k%").await));

    let calls = keys.iter().zip(&tokens).skip(10).map(|(key, token)| finish(&store, key, *token, "done")).collect();
    let finished = together(&pool, &store, Operation::Finish, calls).await;
    assert!(finished.iter().all(|tenure| *tenure == Ok(LeaseState::Held)));
    assert!(shared(transactions(&pool, "k1_").await));

    let calls = keys.iter().zip(&tokens).map(|(key, token)| release(&store, key, *token)).collect();
    assert!(together(&pool, &store, Operation::Release, calls).await.iter().all(Result::is_ok));
    let calls = keys.iter().map(|key| reserve(&store, key, 1)).collect();
    for (n, outcome) in together(&pool, &store, Operation::Reserve, calls).await.into_iter().enumerate() {
        match outcome {
            Ok(ClaimOutcome::Reserved { attempt: 1, .. }) if n < 10 => {}
            Ok(ClaimOutcome::Replay(record)) if n >= 10 && record.response_body == b"done" => {}
            other => panic!("{n}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn turned_off_every_call_is_a_statement() {
    let (_database, pool, store) = postgres(8).await;
    let store = store.group_commit(false);
    let calls = keys("k").iter().map(|key| reserve(&store, key, 1)).collect();
    together(&pool, &store, Operation::Reserve, calls).await;
    assert_eq!(transactions(&pool, "k%").await, 20);
}

#[tokio::test]
async fn one_key_twice_is_answered_as_if_one_came_second() {
    let (_database, pool, store) = postgres(8).await;
    let calls = [1, 1, 2, 1].map(|hash| reserve(&store, "k1", hash)).into_iter().collect();
    let answers = together(&pool, &store, Operation::Reserve, calls).await;
    let held = token(&answers[0]);
    assert_eq!(answers[1..], [Ok(ClaimOutcome::InFlight), Ok(ClaimOutcome::Conflict), Ok(ClaimOutcome::InFlight)]);

    let calls = ["first", "second"].map(|body| finish(&store, "k1", held, body)).into_iter().collect();
    assert_eq!(together(&pool, &store, Operation::Finish, calls).await, [Ok(LeaseState::Held), Ok(LeaseState::Held)]);
    let calls = [1, 2, 1].map(|hash| reserve(&store, "k1", hash)).into_iter().collect();
    let answers = together(&pool, &store, Operation::Reserve, calls).await;
    assert_eq!(answers[1], Ok(ClaimOutcome::Conflict));
    for answer in [&answers[0], &answers[2]] {
        assert!(matches!(answer, Ok(ClaimOutcome::Replay(record)) if record.response_body == b"first"), "{answer:?}");
    }

    let held = reserved(&store, "k2").await;
    let calls = (0..3).map(|_| renew(&store, "k2", held)).collect();
    assert_eq!(together(&pool, &store, Operation::Renew, calls).await, vec![Ok(LeaseState::Held); 3]);
    let calls = (0..3).map(|_| release(&store, "k2", held)).collect();
    assert_eq!(together(&pool, &store, Operation::Release, calls).await, vec![Ok(()); 3]);
    reserved(&store, "k2").await;

    // What expires at once is taken over by whoever comes second. (Of a second and a third, each alone, one may have
    // begun before the other, and find it live.)
    let zero = |store: &PostgresStore| -> Call<Reserved> {
        let store = store.clone();
        Box::pin(async move { store.reserve(Claim { retention: Duration::ZERO, ..claim("k3", 1) }).await })
    };
    let calls = (0..2).map(|_| zero(&store)).collect();
    let answers = together(&pool, &store, Operation::Reserve, calls).await;
    assert_eq!(answers.iter().map(token).collect::<HashSet<_>>().len(), 2);
}

#[tokio::test]
async fn takeovers_conflicts_and_stale_tokens_each_get_their_own_answer() {
    let (_database, pool, store) = postgres(8).await;
    let dead = token(&store.reserve(Claim { lease: Duration::from_millis(1), ..claim("dead", 1) }).await);
    token(&store.reserve(Claim { lease: Duration::from_millis(1), ..claim("other", 1) }).await);
    let live = reserved(&store, "live").await;
    let done = reserved(&store, "done").await;
    assert_eq!(finish(&store, "done", done, "outcome").await, Ok(LeaseState::Held));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let calls = vec![
        reserve(&store, "dead", 1),
        reserve(&store, "live", 1),
        reserve(&store, "live", 2),
        reserve(&store, "done", 1),
        reserve(&store, "done", 2),
        reserve(&store, "fresh", 1),
        reserve(&store, "dead", 2),
        // The statement looks for the first one's sake, and what it finds is dead to the second.
        reserve(&store, "other", 2),
        reserve(&store, "other", 1),
        reserve(&store, "other", 2),
    ];
    let answers = together(&pool, &store, Operation::Reserve, calls).await;
    assert!(matches!(answers[0], Ok(ClaimOutcome::Reserved { attempt: 2, .. })), "{:?}", answers[0]);
    assert_eq!(answers[1..3], [Ok(ClaimOutcome::InFlight), Ok(ClaimOutcome::Conflict)]);
    assert!(matches!(&answers[3], Ok(ClaimOutcome::Replay(record)) if record.response_body == b"outcome"));
    assert_eq!(answers[4], Ok(ClaimOutcome::Conflict));
    assert!(matches!(answers[5], Ok(ClaimOutcome::Reserved { attempt: 1, .. })), "{:?}", answers[5]);
    assert_eq!(answers[6..8], [Ok(ClaimOutcome::Conflict), Ok(ClaimOutcome::Conflict)]);
    assert!(matches!(answers[8], Ok(ClaimOutcome::Reserved { attempt: 2, .. })), "{:?}", answers[8]);
    assert_eq!(answers[9], Ok(ClaimOutcome::Conflict));

    let new = token(&answers[0]);
    let calls = vec![renew(&store, "dead", dead), renew(&store, "live", live), renew(&store, "done", done)];
    let lost_held_lost = [Ok(LeaseState::Lost), Ok(LeaseState::Held), Ok(LeaseState::Lost)];
    assert_eq!(together(&pool, &store, Operation::Renew, calls).await, lost_held_lost);
    let calls = vec![release(&store, "dead", dead), release(&store, "done", done)];
    assert_eq!(together(&pool, &store, Operation::Release, calls).await, [Ok(()), Ok(())]);
    let calls = vec![
        finish(&store, "dead", dead, "stale"),
        finish(&store, "live", live, "current"),
        finish(&store, "done", done, "again"),
    ];
    let finished = together(&pool, &store, Operation::Finish, calls).await;
    assert_eq!(finished, [Ok(LeaseState::Lost), Ok(LeaseState::Held), Ok(LeaseState::Held)]);
    assert_eq!(finish(&store, "dead", new, "new").await, Ok(LeaseState::Held), "the newer reservation was not touched");
    let Ok(ClaimOutcome::Replay(record)) = reserve(&store, "done", 1).await else { panic!() };
    assert_eq!(record.response_body, b"outcome");
}

/// An operator may keep a row forever; what it was created at, a takeover by others may have set to anything.
#[tokio::test]
async fn infinite_times_are_replayed_alone_and_in_a_batch() {
    let (_database, pool, store) = postgres(4).await;
    for key in ["a", "b", "c"] {
        let token = reserved(&store, key).await;
        finish(&store, key, token, "kept").await.unwrap();
    }
    let update = "UPDATE cratestack_idempotency SET created_at = '-infinity', expires_at = 'infinity' WHERE key <> 'c'";
    sqlx::query(update).execute(&pool).await.unwrap();
    let calls = || ["a", "b", "c"].map(|key| reserve(&store, key, 1));
    let batched = together(&pool, &store, Operation::Reserve, calls().into()).await;
    let mut alone = Vec::new();
    for call in calls() {
        alone.push(call.await);
    }
    let (since, until) = (
        SystemTime::UNIX_EPOCH - Duration::from_secs(62_135_596_800),
        SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_214_400),
    );
    for answers in [batched, alone] {
        let times = answers.into_iter().map(|answer| match answer {
            Ok(ClaimOutcome::Replay(record)) => (record.created_at, record.expires_at),
            other => panic!("{other:?}"),
        });
        let times: Vec<_> = times.collect();
        assert_eq!(times[..2], [(since, until); 2], "the years 1 and 9999");
        assert_eq!(times[2].1, times[2].0 + DAY);
    }
    let now = store.now().await.unwrap().unwrap().now;
    let apart = now.duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
    assert!(apart < MINUTE, "the server and this program share a clock: {apart:?}");
}

#[tokio::test]
async fn a_poisonous_row_fails_its_own_caller_only() {
    let (_database, pool, store) = postgres(8).await;
    objecting(&pool, "IF NEW.key = 'objectionable' THEN RAISE EXCEPTION 'no'; END IF;").await;
    let long: String = (0..200).map(|_| Uuid::new_v4().to_string()).collect();
    let calls = ["a", "objectionable", "nul\0", &long, "z"].map(|key| reserve(&store, key, 1)).into_iter().collect();
    let answers = together(&pool, &store, Operation::Reserve, calls).await;
    for poisonous in &answers[1..4] {
        assert!(matches!(poisonous, Err(StoreError::Database(_))), "{poisonous:?}");
    }
    let (a, z) = (token(&answers[0]), token(&answers[4]));
    let invalid: Call<Result<LeaseState, StoreError>> = {
        let store = store.clone();
        Box::pin(async move {
            let body = &Bytes::new();
            store.finish(Completion { principal: "p", key: "z", token: z, status: 99, headers: &[], body }).await
        })
    };
    objecting(&pool, "IF NEW.response_body = 'objectionable' THEN RAISE EXCEPTION 'no'; END IF;").await;
    let calls = vec![finish(&store, "a", a, "fine"), invalid, finish(&store, "z", z, "objectionable")];
    let answers = together(&pool, &store, Operation::Finish, calls).await;
    assert_eq!(answers[0], Ok(LeaseState::Held));
    assert!(matches!(answers[1], Err(StoreError::Internal(_))), "{:?}", answers[1]);
    assert!(matches!(answers[2], Err(StoreError::Database(_))), "{:?}", answers[2]);
}

async fn objecting(pool: &PgPool, body: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "CREATE OR REPLACE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
         CREATE OR REPLACE TRIGGER objecting BEFORE INSERT OR UPDATE ON cratestack_idempotency
         FOR EACH ROW EXECUTE FUNCTION object();"
    )))
    .execute(pool)
    .await
    .unwrap();
}

/// Somebody holds a row and takes his time: only who asks for that row waits for him.
#[tokio::test]
async fn a_locked_row_holds_up_its_own_caller_only() {
    let (_database, pool, store) = postgres(8).await;
    let tokens: Vec<_> =
        join_all(["a", "locked", "z"].map(|key| reserve(&store, key, 1))).await.iter().map(token).collect();
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM cratestack_idempotency WHERE key = 'locked' FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    let other = occupy(&pool, &store, Operation::Finish).await;
    let [a, locked, z] = [("a", tokens[0]), ("locked", tokens[1]), ("z", tokens[2])]
        .map(|(key, token)| tokio::spawn(finish(&store, key, token, "done")));
    polled_once().await;
    other.rollback().await.unwrap();
    for free in [a, z] {
        let answer =
            tokio::time::timeout(Duration::from_secs(20), free).await.expect("nobody else's row is waited for");
        assert_eq!(answer.unwrap(), Ok(LeaseState::Held));
    }
    assert!(!locked.is_finished());
    holder.rollback().await.unwrap();
    assert_eq!(locked.await.unwrap(), Ok(LeaseState::Held));
}

async fn rows(pool: &PgPool, like: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency WHERE key LIKE $1")
        .bind(like)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_reservation_whose_caller_has_gone_is_given_back() {
    let (_database, pool, store) = postgres(8).await;
    objecting(&pool, "IF NEW.key = 'slow' THEN PERFORM pg_sleep(0.5); END IF;").await;
    let other = occupy(&pool, &store, Operation::Reserve).await;
    let stays = tokio::spawn(reserve(&store, "slow", 1));
    let mut goes_before = reserve(&store, "gone before", 1);
    let goes_during = tokio::spawn(reserve(&store, "gone during", 1));
    let mut goes_after = reserve(&store, "gone after", 1);
    assert!(poll_immediate(&mut goes_before).await.is_none());
    assert!(poll_immediate(&mut goes_after).await.is_none());
    polled_once().await;
    drop(goes_before);
    other.rollback().await.unwrap();
    until("the batch is on its way", async || {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
            .fetch_one(&pool)
            .await
            .unwrap()
    })
    .await;
    goes_during.abort();
    token(&stays.await.unwrap());
    until("who went before and during are given back", async || rows(&pool, "gone during").await == 0).await;
    assert_eq!(rows(&pool, "gone before").await, 0);
    assert_eq!(rows(&pool, "gone after").await, 1, "its answer lies there");
    drop(goes_after);
    until("who went with the answer at hand is given back", async || rows(&pool, "gone after").await == 0).await;
    assert_eq!(rows(&pool, "slow").await, 1, "nobody is taken along");
}

#[tokio::test]
async fn a_lost_connection_answers_everybody() {
    let (_database, pool, store) = postgres(8).await;
    objecting(&pool, "IF NEW.key = 'slow' THEN PERFORM pg_sleep(20); END IF;").await;
    let other = occupy(&pool, &store, Operation::Reserve).await;
    let calls: Vec<_> = ["a", "slow", "z"].map(|key| tokio::spawn(reserve(&store, key, 1))).into_iter().collect();
    polled_once().await;
    other.rollback().await.unwrap();
    until("the batch is cut off", async || {
        let cut = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        cut.execute(&pool).await.unwrap().rows_affected() > 0
    })
    .await;
    for call in calls {
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await.expect("nobody hangs").unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    reserved(&store, "a").await;
}

/// A proxy that can keep the server's answers to itself.
async fn muting(url: &str) -> (String, Arc<AtomicBool>) {
    let address = url.rsplit('@').next().unwrap().split('/').next().unwrap().to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url.replace(&address, &listener.local_addr().unwrap().to_string()) + "?sslmode=disable";
    let muted = Arc::new(AtomicBool::new(false));
    let mute = muted.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (address, mute) = (address.clone(), mute.clone());
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(address).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 65_536];
                while let Ok(1..) = from_server.read(&mut buffer).await.inspect(|read| buffer.truncate(*read)) {
                    if mute.load(Ordering::SeqCst) {
                        break;
                    }
                    to_client.write_all(&buffer).await.unwrap();
                    buffer.resize(65_536, 0);
                }
                drop(to_client);
                up.abort();
            });
        }
    });
    (url, muted)
}

/// The statement was committed and its answer lost: nobody is told that he has the key, and nobody else is kept from
/// it.
#[tokio::test]
async fn a_lost_answer_reserves_for_nobody() {
    let (database, pool, _) = postgres(8).await;
    let (url, muted) = muting(database.url()).await;
    let store = PostgresStore::new(postgres_pool(&url, 8).await);
    objecting(&pool, "IF NEW.key = 'slow' THEN PERFORM pg_sleep(0.3); END IF;").await;
    let other = occupy(&pool, &store, Operation::Reserve).await;
    let calls: Vec<_> = ["a", "slow", "z"].map(|key| tokio::spawn(reserve(&store, key, 1))).into_iter().collect();
    polled_once().await;
    other.rollback().await.unwrap();
    until("the batch is on its way", async || {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
            .fetch_one(&pool)
            .await
            .unwrap()
    })
    .await;
    muted.store(true, Ordering::SeqCst);
    for call in calls {
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await.expect("nobody hangs").unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        muted.store(false, Ordering::SeqCst);
    }
    until("the keys are free, well before their lease ends", async || {
        rows(&pool, "a").await + rows(&pool, "slow").await + rows(&pool, "z").await == 0
    })
    .await;
}

/// Two processes whose calls are for the same rows, in opposite orders.
#[tokio::test]
async fn batches_of_two_processes_do_not_deadlock() {
    let (database, pool, here) = postgres(8).await;
    let there = PostgresStore::new(postgres_pool(database.url(), 8).await);
    // So slow that the two are on their way at the same time.
    objecting(&pool, "IF NEW.key LIKE 'k%' THEN PERFORM pg_sleep(0.005); END IF;").await;
    let mut held = Vec::new();
    for key in keys("k") {
        held.push((reserved(&here, &key).await, key));
    }
    for _ in 0..3 {
        let (mut one, mut other) =
            (occupy(&pool, &here, Operation::Renew).await, occupy(&pool, &there, Operation::Renew).await);
        let forth: Vec<_> = held.iter().map(|(token, key)| tokio::spawn(renew(&here, key, *token))).collect();
        let back: Vec<_> = held.iter().rev().map(|(token, key)| tokio::spawn(renew(&there, key, *token))).collect();
        polled_once().await;
        for waiting in [&mut one, &mut other] {
            sqlx::query("SELECT 1").execute(&mut **waiting).await.unwrap();
        }
        tokio::try_join!(one.rollback(), other.rollback()).unwrap();
        for call in forth.into_iter().chain(back) {
            assert_eq!(call.await.unwrap(), Ok(LeaseState::Held));
        }
        assert!(
            shared(transactions(&pool, "k%").await),
            "one waited for the other, and none for a quarter of a second"
        );
    }
    // The server writes its counts down when a session has nothing to do.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}

/// A database may be set to be stricter than our statements need.
#[tokio::test(flavor = "multi_thread")]
async fn stricter_isolation_loses_no_call() {
    let database = TestDatabase::create().await;
    let admin = postgres_pool(database.url(), 1).await;
    let strict = format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", database.name());
    sqlx::raw_sql(sqlx::AssertSqlSafe(strict)).execute(&admin).await.unwrap();
    let stores: Vec<_> =
        join_all((0..2).map(|_| postgres_pool(database.url(), 4))).await.into_iter().map(PostgresStore::new).collect();
    stores[0].migrate().await.unwrap();
    let calls = (0..400).map(|n| {
        let key = format!("k{}", n % 50);
        tokio::spawn(reserve(&stores[n % 2], &key, 1))
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let won = answers.iter().filter(|answer| matches!(answer, Ok(ClaimOutcome::Reserved { .. }))).count();
    assert_eq!(won, 50);
    for answer in &answers {
        assert!(
            matches!(
                answer,
                Ok(ClaimOutcome::Reserved { .. } | ClaimOutcome::InFlight) | Err(StoreError::Unavailable(_))
            ),
            "{answer:?}"
        );
    }
}

/// The plan that a session keeps must not scan the table, though nothing is known about it.
#[tokio::test]
async fn no_batch_scans_a_table_without_statistics() {
    let (_database, pool, store) = postgres(1).await;
    let fill = "INSERT INTO cratestack_idempotency
            (principal_fingerprint, key, request_hash, reservation_id, response_body, expires_at)
        SELECT 'p', 'old' || n, sha256(''), gen_random_uuid(), repeat('x', 300)::bytea, NOW() + INTERVAL '1 day'
        FROM generate_series(1, $1) AS n";
    sqlx::raw_sql("ALTER TABLE cratestack_idempotency SET (autovacuum_enabled = off)").execute(&pool).await.unwrap();
    let keys = keys("k");
    // Once while the table is empty, once when it is not: the plans of a session are made at its first statements.
    for rows in [0, 2_000] {
        sqlx::query(fill).bind(rows).execute(&pool).await.unwrap();
        let tokens: Vec<_> = join_all(keys.iter().map(|key| reserve(&store, key, 1))).await.iter().map(token).collect();
        let held: Vec<_> = keys.iter().zip(tokens).collect();
        join_all(held.iter().map(|(key, token)| renew(&store, key, *token))).await;
        join_all(held.iter().take(10).map(|(key, token)| finish(&store, key, *token, "x"))).await;
        join_all(held.iter().map(|(key, token)| release(&store, key, *token))).await;
        let mut session = pool.acquire().await.unwrap();
        let statements = sqlx::query(
            "SELECT name, array_length(parameter_types, 1) FROM pg_prepared_statements WHERE statement LIKE '%asked%'",
        )
        .persistent(false)
        .fetch_all(&mut *session)
        .await
        .unwrap();
        assert_eq!(statements.len(), 4);
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let set = format!("SET plan_cache_mode = {mode}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *session).await.unwrap();
            for statement in &statements {
                let (name, parameters): (String, i32) = (statement.get(0), statement.get(1));
                let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
                let explain = format!("EXPLAIN EXECUTE {name} ({nulls})");
                let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *session).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
                let plan = plan.join("\n");
                assert!(!plan.contains("Seq Scan") && plan.contains("Index Scan"), "{mode}\n{plan}");
            }
        }
        sqlx::raw_sql("RESET plan_cache_mode").execute(&mut *session).await.unwrap();
        sqlx::raw_sql("DELETE FROM cratestack_idempotency WHERE key LIKE 'k%'").execute(&mut *session).await.unwrap();
    }
}

/// Where the planner believes that nothing is live any more, "live" would pick few rows by the index of expiries, until
/// there are many. A key is found by its name.
#[tokio::test]
async fn no_key_is_looked_for_among_the_live() {
    let (_database, pool, store) = postgres(1).await;
    let fill = "ALTER TABLE cratestack_idempotency SET (autovacuum_enabled = off);
        INSERT INTO cratestack_idempotency
            (principal_fingerprint, key, request_hash, reservation_id, response_status, response_body, expires_at)
        SELECT md5(n::text), gen_random_uuid()::text, sha256(''), gen_random_uuid(), 200, repeat('x', 300)::bytea,
            NOW() - INTERVAL '1 day'
        FROM generate_series(1, 50000) AS n;
        ANALYZE cratestack_idempotency";
    sqlx::raw_sql(fill).execute(&pool).await.unwrap();
    let keys = keys("k");
    let stores = [store.clone(), store.group_commit(false)];
    let mut rounds = 0;
    // On a machine that is busy, what goes first finds the pool taken and has a connection of its own: once more, then.
    let (mut session, statements) = loop {
        for store in &stores {
            let tokens: Vec<_> =
                join_all(keys.iter().map(|key| reserve(store, key, 1))).await.iter().map(token).collect();
            let held: Vec<_> = keys.iter().zip(tokens).collect();
            join_all(held.iter().map(|(key, token)| renew(store, key, *token))).await;
            join_all(held.iter().take(10).map(|(key, token)| finish(store, key, *token, "x"))).await;
            join_all(held.iter().map(|(key, token)| release(store, key, *token))).await;
            sqlx::raw_sql("DELETE FROM cratestack_idempotency WHERE key LIKE 'k%'").execute(&pool).await.unwrap();
        }
        let mut session = pool.acquire().await.unwrap();
        let statements = sqlx::query(
            "SELECT name, ARRAY(SELECT CASE kind
                WHEN 'text' THEN '''x''' WHEN 'bytea' THEN 'sha256('''')' WHEN 'uuid' THEN 'gen_random_uuid()'
                WHEN 'bigint' THEN '1' WHEN 'integer' THEN '1' ELSE '''{}''::' || kind END
                FROM unnest(parameter_types::text[]) AS kind)
            FROM pg_prepared_statements WHERE statement LIKE '%cratestack_idempotency%'",
        )
        .persistent(false)
        .fetch_all(&mut *session)
        .await
        .unwrap();
        rounds += 1;
        if statements.len() == 8 || rounds == 10 {
            break (session, statements);
        }
    };
    assert_eq!(statements.len(), 8, "four alone, four in batches");
    for mode in ["force_generic_plan", "force_custom_plan"] {
        let set = format!("SET plan_cache_mode = {mode}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *session).await.unwrap();
        for statement in &statements {
            let (name, values): (String, Vec<String>) = (statement.get(0), statement.get(1));
            let explain = format!("EXPLAIN EXECUTE {name} ({})", values.join(", "));
            let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *session).await.unwrap();
            let plan = plan.iter().map(|line| line.get(0)).collect::<Vec<String>>().join("\n");
            assert!(plan.contains("cratestack_idempotency_pkey") && !plan.contains("expires_idx"), "{mode}\n{plan}");
        }
    }
}
