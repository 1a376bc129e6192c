//! What a process keeps in memory, and when it must not answer from it.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::records::{IfRunning, Removal, RemovalOutcome};
use cratestack_runtime::{Idempotency, IdempotencyStore, RedisStore};
use cratestack_tests::RedisOptions;
use cratestack_tests::redis::{Fsync, RedisServer};

use crate::service::{HOUR, Service, commands, finish, on, on_cluster, reserve, sent, through, until};

async fn session(store: &RedisStore) -> u128 {
    store.now().await.unwrap().expect("the server shows a session").session
}

async fn next(store: &RedisStore, last: u128) -> u128 {
    until("another session", async || {
        store.now().await.ok().flatten().map(|sample| sample.session).filter(|session| *session != last)
    })
    .await
}

#[tokio::test]
async fn a_session_lasts_until_the_server_starts_anew() {
    let server = RedisOptions::new().append_only(Fsync::Always).start().await;
    let (store, other) = (on(&server), on(&server));
    let first = session(&store).await;
    reserve(&store, "k", HOUR).await;
    assert_eq!((session(&store).await, session(&other).await), (first, first));
    server.kill().await;
    assert!(store.now().await.is_err());
    server.start().await;
    next(&store, first).await;
}

#[tokio::test]
async fn a_removed_outcome_ends_the_session_and_a_removed_reservation_does_not() {
    let server = RedisServer::launch().await;
    let cluster = RedisOptions::new().start_cluster().await;
    for store in [on(&server), on_cluster(&cluster)] {
        let first = session(&store).await;
        reserve(&store, "running", HOUR).await;
        let removed = store.remove("p", "running", Removal::release(IfRunning::Remove)).await.unwrap();
        assert!(matches!(removed, RemovalOutcome::Removed(_)));
        assert_eq!(session(&store).await, first);
        let token = reserve(&store, "finished", HOUR).await;
        finish(&store, "finished", token).await.unwrap();
        store.remove("p", "finished", Removal::forget(IfRunning::Refuse)).await.unwrap();
        let second = session(&store).await;
        assert_ne!(second, first);
        let token = reserve(&store, "finished", HOUR).await;
        finish(&store, "finished", token).await.unwrap();
        store.remove_all_of("p", Removal::forget(IfRunning::Refuse), 10).await.unwrap();
        assert_ne!(session(&store).await, second);
    }
}

#[tokio::test]
async fn a_failover_ends_the_session() {
    let sentinels = RedisOptions::new().start_sentinels(1).await;
    let store = through(&sentinels);
    let first = session(&store).await;
    let primary = sentinels.primary().await;
    sentinels.servers()[primary].kill().await;
    next(&store, first).await;

    let mut cluster = RedisOptions::new().start_cluster().await;
    let store = on_cluster(&cluster);
    let first = session(&store).await;
    cluster.fail_over(1).await;
    next(&store, first).await;
}

#[tokio::test]
async fn a_server_that_may_evict_has_no_session_and_neither_has_a_replica() {
    let server = RedisServer::launch().await;
    let store = on(&server);
    let first = session(&store).await;
    server.tell::<()>("CONFIG SET maxmemory-policy allkeys-lru").await;
    assert_eq!(session(&store).await, first, "without a limit nothing is evicted");
    server.tell::<()>("CONFIG SET maxmemory 100mb").await;
    assert_eq!(store.now().await.unwrap(), None);
    server.tell::<()>("CONFIG SET maxmemory-policy noeviction").await;
    assert_eq!(session(&store).await, first);

    let replicas = RedisOptions::new().start_replicas(1).await;
    assert_eq!(on(&replicas.servers()[1]).now().await.unwrap(), None);
}

/// The clock is looked at once a second, whatever is replayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_memory_costs_no_command() {
    let server = RedisServer::launch().await;
    let service = Service::over(Idempotency::new(on(&server)));
    for _ in 0..3 {
        assert_eq!(service.post("/pay", "k").await.0, StatusCode::CREATED);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.tell::<()>("CONFIG RESETSTAT").await;
    for _ in 0..1_000 {
        let (status, headers, _) = service.post("/pay", "k").await;
        assert_eq!((status, headers.contains_key("idempotency-replayed")), (StatusCode::CREATED, true));
    }
    let commands = commands(&server).await;
    println!("1000 replays: {commands:?}");
    assert!(sent(&commands) <= 5, "{commands:?}");
    assert_eq!(service.effects(), 1);
}
