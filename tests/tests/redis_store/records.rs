//! What a record says, by the server's clock, and who may change it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cratestack_runtime::records::{IfRunning, RecordState, Removal, RemovalOutcome};
use cratestack_runtime::schema::KeyPrefix;
use cratestack_runtime::{
    Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, RedisStore, ReservationOutcome, StepRecord,
};
use cratestack_tests::redis::RedisServer;
use uuid::Uuid;

use crate::service::{HOUR, MINUTE, claim, commands, finish, on, reserve, sent, shared};

const SHORT: Duration = Duration::from_millis(30);

async fn passes(time: Duration) {
    tokio::time::sleep(time + Duration::from_millis(20)).await;
}

async fn step(store: &RedisStore, token: Uuid, name: &str, value: &[u8]) -> LeaseState {
    store.record_step(StepRecord { principal: "p", key: "k", token, name, value }).await.unwrap()
}

/// A moment that a process names is only ever a duration from its own clock: how wrong that is does not matter.
#[tokio::test]
async fn every_time_is_the_servers() {
    let (_redis, store) = shared().await;
    let token = reserve(&store, "k", MINUTE).await;
    let info = store.show("p", "k").await.unwrap().unwrap();
    assert_eq!(info.lease_ends_at.unwrap(), info.created_at + MINUTE);
    assert_eq!(info.expires_at, info.created_at + HOUR);
    assert!(info.now >= info.created_at);
    finish(&store, "k", token).await.unwrap();
    let Ok(ClaimOutcome::Replay(record)) = store.reserve(claim("k", MINUTE)).await else { panic!() };
    assert_eq!((record.created_at, record.expires_at), (info.created_at, info.expires_at));

    // What lies before the process's own present is over at once, and fails nothing.
    let past = SystemTime::UNIX_EPOCH;
    for _ in 0..2 {
        let outcome = store.reserve_or_fetch("p", "past", [1; 32], past).await.unwrap();
        assert!(matches!(outcome, ReservationOutcome::Reserved { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_dead_reservation_is_its_requests_alone_and_its_token_is_worth_nothing() {
    let (_redis, store) = shared().await;
    let dead = reserve(&store, "k", SHORT).await;
    assert_eq!(step(&store, dead, "charge", b"one").await, LeaseState::Held);
    passes(SHORT).await;
    let other = Claim { request_hash: [2; 32], ..claim("k", MINUTE) };
    assert_eq!(store.reserve(other).await, Ok(ClaimOutcome::Conflict));
    let Ok(ClaimOutcome::Reserved { token, attempt: 2 }) = store.reserve(claim("k", MINUTE)).await else { panic!() };
    assert_ne!(token, dead);
    // The late holder.
    assert_eq!(finish(&store, "k", dead).await, Ok(LeaseState::Lost));
    assert_eq!(store.renew("p", "k", dead, MINUTE, HOUR).await, Ok(LeaseState::Lost));
    assert_eq!(step(&store, dead, "late", b"x").await, LeaseState::Lost);
    assert_eq!(store.steps("p", "k", dead).await.unwrap(), []);
    store.release("p", "k", dead).await.unwrap();
    assert_eq!(store.reserve(claim("k", MINUTE)).await, Ok(ClaimOutcome::InFlight));
    // The takeover finds the steps, and may give the key back to its own request only.
    let steps = store.steps("p", "k", token).await.unwrap();
    assert_eq!(steps.iter().map(|step| (&*step.name, &*step.value)).collect::<Vec<_>>(), [("charge", &b"one"[..])]);
    store.release("p", "k", token).await.unwrap();
    assert_eq!(store.reserve(other).await, Ok(ClaimOutcome::Conflict));
    let third = store.reserve(claim("k", MINUTE)).await;
    assert!(matches!(third, Ok(ClaimOutcome::Reserved { attempt: 3, .. })), "{third:?}");
}

#[tokio::test]
async fn a_retention_of_nothing_and_one_without_end_are_kept() {
    let (_redis, store) = shared().await;
    for _ in 0..2 {
        let nothing = Claim { retention: Duration::ZERO, ..claim("nothing", MINUTE) };
        let answer = store.reserve(nothing).await;
        assert!(matches!(answer, Ok(ClaimOutcome::Reserved { attempt: 1, .. })), "{answer:?}");
    }
    let endless = Claim { retention: Duration::MAX, lease: Duration::MAX, ..claim("endless", MINUTE) };
    let Ok(ClaimOutcome::Reserved { token, .. }) = store.reserve(endless).await else { panic!() };
    assert_eq!(store.renew("p", "endless", token, Duration::MAX, Duration::MAX).await, Ok(LeaseState::Held));
    finish(&store, "endless", token).await.unwrap();
    let Ok(ClaimOutcome::Replay(record)) = store.reserve(endless).await else { panic!() };
    assert!(record.expires_at > SystemTime::now() + 90 * 365 * 24 * HOUR);
}

#[tokio::test]
async fn an_expired_record_takes_its_steps_and_its_outcome_along() {
    let (_redis, store) = shared().await;
    let brief = Claim { retention: SHORT, ..claim("k", SHORT) };
    let Ok(ClaimOutcome::Reserved { token, .. }) = store.reserve(brief).await else { panic!() };
    step(&store, token, "charge", b"one").await;
    passes(SHORT).await;
    let other = Claim { request_hash: [2; 32], ..claim("k", MINUTE) };
    let Ok(ClaimOutcome::Reserved { token: new, attempt: 1 }) = store.reserve(other).await else { panic!() };
    assert_eq!(store.steps("p", "k", new).await.unwrap(), []);
    assert_eq!(finish(&store, "k", token).await, Ok(LeaseState::Lost));
}

/// One that its server has not dropped yet, or never will: somebody has taken its end away.
#[tokio::test]
async fn a_record_whose_expiry_was_taken_away_expires_all_the_same() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let second = Duration::from_secs(1);
    let brief = Claim { retention: second, ..claim("k", SHORT) };
    let Ok(ClaimOutcome::Reserved { token, .. }) = store.reserve(brief).await else { panic!() };
    step(&store, token, "charge", b"one").await;
    assert_eq!(server.tell::<i64>("PERSIST cratestack_idempotency:p:k").await, 1);
    passes(second).await;
    let other = Claim { request_hash: [2; 32], ..claim("k", MINUTE) };
    let Ok(ClaimOutcome::Reserved { token: new, attempt: 1 }) = store.reserve(other).await else { panic!() };
    assert_eq!(store.steps("p", "k", new).await.unwrap(), []);
}

#[tokio::test]
async fn names_of_every_odd_character_are_kept_apart() {
    let (_redis, store) = shared().await;
    let mut names: Vec<String> = (0..=0x17f).filter_map(char::from_u32).map(String::from).collect();
    names.extend(["", "a:b", "a%3Ab", "{a}", "{", "}", "a*", "[ab]", "\\", "\r\nFLUSHALL\r\n", "🦀"].map(String::from));
    names.push("x".repeat(5_000));
    names.sort();
    names.dedup();
    for (n, name) in names.iter().enumerate() {
        let both = [(name.as_str(), "k"), ("k", name.as_str())];
        // The same record, where the name is this one.
        let count = if name == "k" { 1 } else { 2 };
        for (principal, key) in both.into_iter().take(count) {
            let mine = Claim { principal, key, ..claim("k", MINUTE) };
            let answer = store.reserve(mine).await.unwrap();
            let ClaimOutcome::Reserved { token, .. } = answer else { panic!("{principal:?} {key:?}: {answer:?}") };
            let body = Bytes::from(n.to_string());
            let done = Completion { principal, key, token, status: 200, headers: &[], body: &body };
            assert_eq!(store.finish(done).await, Ok(LeaseState::Held));
            let ClaimOutcome::Replay(record) = store.reserve(mine).await.unwrap() else { panic!("{key:?}") };
            assert_eq!((&*record.principal_fingerprint, &*record.key), (principal, key));
            assert_eq!(record.response_body, body);
        }
    }
}

#[tokio::test]
async fn a_replay_is_one_command() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let token = reserve(&store, "k", MINUTE).await;
    finish(&store, "k", token).await.unwrap();
    server.tell::<()>("CONFIG RESETSTAT").await;
    for _ in 0..10 {
        assert!(matches!(store.reserve(claim("k", MINUTE)).await, Ok(ClaimOutcome::Replay(_))));
    }
    let commands = commands(&server).await;
    assert_eq!(sent(&commands), 10, "{commands:?}");
}

/// A call is made again where its answer is lost, and its first copy may come late. It names the record that is meant.
#[tokio::test]
async fn a_removal_that_comes_late_removes_no_other_record() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let first = reserve(&store, "k", HOUR).await;
    let removal = Removal::forget(IfRunning::Remove);
    assert_eq!(store.remove("p", "k", removal).await, Ok(RemovalOutcome::Removed(RecordState::InFlight)));
    let second = reserve(&store, "k", HOUR).await;

    let script = [
        include_str!("../../../cratestack-runtime/src/stores/redis/scripts/clock.lua"),
        include_str!("../../../cratestack-runtime/src/stores/redis/scripts/wake.lua"),
        include_str!("../../../cratestack-runtime/src/stores/redis/scripts/remove.lua"),
    ]
    .concat();
    let mut late = redis::cmd("EVAL");
    late.arg(script).arg(1).arg(KeyPrefix::default().key("p", "k")).arg(first.as_bytes()).arg(&["1", "1", "1"]);
    let (refused, ..): (i64, i64, Vec<u8>) = late.query_async(&mut server.connect().await.unwrap()).await.unwrap();
    assert_eq!(refused, 2, "it is another record");
    assert_eq!(finish(&store, "k", second).await, Ok(LeaseState::Held));
}

/// The store says by the token which record it means: of all that it sends, only the removal of that one removes.
#[tokio::test]
async fn a_removal_is_made_by_the_token_that_was_found() {
    let (_redis, store) = shared().await;
    let removal = Removal::forget(IfRunning::Refuse);
    assert_eq!(store.remove("p", "k", removal).await, Ok(RemovalOutcome::Absent));
    let token = reserve(&store, "k", HOUR).await;
    assert_eq!(store.remove("p", "k", removal).await, Ok(RemovalOutcome::Refused(RecordState::InFlight)));
    finish(&store, "k", token).await.unwrap();
    assert_eq!(store.remove("p", "k", removal).await, Ok(RemovalOutcome::Removed(RecordState::Finished)));
    assert_eq!(store.remove("p", "k", removal).await, Ok(RemovalOutcome::Absent));
}
