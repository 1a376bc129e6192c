use std::time::Duration;

use super::*;

fn claim(key: &str, lease: Duration, retention: Duration) -> Claim<'_> {
    Claim { principal: "alice", key, request_hash: [1; 32], lease, retention }
}

fn rows(store: &MemoryStore) -> usize {
    store.shared.shards.iter().map(|shard| lock(shard).by_id.len()).sum()
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn no_duration_is_too_long() {
    let store = MemoryStore::new();
    let endless = claim("k", Duration::MAX, Duration::MAX);
    let ClaimOutcome::Reserved { token, attempt: 1 } = store.reserve(endless).await.unwrap() else { panic!() };
    assert_eq!(store.renew("alice", "k", token, Duration::MAX, Duration::MAX).await, Ok(LeaseState::Held));
    assert_eq!(store.reserve(endless).await, Ok(ClaimOutcome::InFlight));
    store.complete("alice", "k", token, 200, &[], &[]).await.unwrap();
    let Ok(ClaimOutcome::Replay(record)) = store.reserve(endless).await else { panic!() };
    assert!(record.expires_at > record.created_at);
}

#[tokio::test]
async fn sweep_frees_what_expired_and_gets_round_to_every_shard() {
    let store = MemoryStore::new();
    for n in 0..500 {
        store.reserve(claim(&format!("dead {n}"), Duration::ZERO, Duration::ZERO)).await.unwrap();
        store.reserve(claim(&format!("silent {n}"), Duration::ZERO, HOUR)).await.unwrap();
    }
    assert_eq!(store.sweep(0).await, Ok(0));
    assert_eq!(store.sweep(7).await, Ok(7));
    let mut deleted = 7;
    for _ in 0..500 {
        deleted += store.sweep(3).await.unwrap();
    }
    assert_eq!((deleted, rows(&store)), (500, 500));
    let both = |shard: &Mutex<Rows>| {
        let rows = lock(shard);
        rows.by_id.len() == rows.by_expiry.len()
    };
    assert!(store.shared.shards.iter().all(both));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_what_expires_however_often_that_changed() {
    let store = MemoryStore::new();
    let minute = Duration::from_mins(1);
    let reserved = async |key: &str, retention| match store.reserve(claim(key, Duration::ZERO, retention)).await {
        Ok(ClaimOutcome::Reserved { token, .. }) => token,
        other => panic!("{other:?}"),
    };
    let renewed = reserved("renewed", minute).await;
    store.renew("alice", "renewed", renewed, minute, HOUR).await.unwrap();
    let released = reserved("released", minute).await;
    store.release("alice", "released", released).await.unwrap();
    reserved("taken over", HOUR).await;
    reserved("taken over", minute).await;
    reserved("expired", minute).await;
    assert_eq!(store.sweep(9).await, Ok(0));
    tokio::time::advance(minute).await;
    assert_eq!((store.sweep(9).await, rows(&store)), (Ok(2), 1));
    tokio::time::advance(HOUR).await;
    assert_eq!((store.sweep(9).await, rows(&store)), (Ok(1), 0));
    assert!(store.shared.shards.iter().all(|shard| lock(shard).by_expiry.is_empty()));
}

#[tokio::test]
async fn a_poisoned_shard_keeps_working() {
    let store = MemoryStore::new();
    let holder = store.clone();
    std::thread::spawn(move || {
        let _guards: Vec<_> = holder.shared.shards.iter().map(lock).collect();
        panic!("poisons every shard");
    })
    .join()
    .unwrap_err();
    assert!(matches!(store.reserve(claim("k", HOUR, HOUR)).await, Ok(ClaimOutcome::Reserved { .. })));
}

#[test]
fn debug_shows_no_content() {
    assert_eq!(format!("{:?}", MemoryStore::new()), "MemoryStore { .. }");
}

/// Whoever asks it at once is told what others are told, and sees what they have done.
#[tokio::test]
async fn at_once_it_answers_what_it_answers_else() {
    let (store, id) = (MemoryStore::new(), RecordId::new("alice", "k"));
    let at_once = store.at_once().unwrap();
    let ClaimOutcome::Reserved { token, attempt: 1 } = at_once.reserve_at_once(&id, &claim("k", HOUR, HOUR)) else {
        panic!("a fresh key is reserved")
    };
    assert!(matches!(store.reserve(claim("k", HOUR, HOUR)).await, Ok(ClaimOutcome::InFlight)));
    assert!(matches!(at_once.reserve_at_once(&id, &claim("k", HOUR, HOUR)), ClaimOutcome::InFlight));
    let (headers, body) = (b"h".to_vec(), Bytes::from_static(b"paid"));
    assert_eq!(at_once.finish_at_once(&id, Uuid::new_v4(), 201, headers.clone(), body.clone()), LeaseState::Lost);
    assert_eq!(at_once.finish_at_once(&id, token, 201, headers.clone(), body.clone()), LeaseState::Held);
    let Ok(ClaimOutcome::Replay(record)) = store.reserve(claim("k", HOUR, HOUR)).await else {
        panic!("it is recorded")
    };
    assert_eq!((record.response_status, record.response_headers, record.response_body), (201, headers, body.to_vec()));
    assert!(matches!(at_once.reserve_at_once(&id, &claim("k", HOUR, HOUR)), ClaimOutcome::Replay(_)));
}
