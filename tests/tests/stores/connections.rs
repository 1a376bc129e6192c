//! Handlers that hold all connections of the store's own pool.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::databases::{postgres, postgres_pool};

const LEASE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn claim(key: &str) -> Claim<'_> {
    Claim { principal: "p", key, request_hash: [0; 32], lease: LEASE, retention: DAY }
}

async fn reserve(store: &PostgresStore, key: &str) -> Uuid {
    match store.reserve(claim(key)).await.unwrap() {
        ClaimOutcome::Reserved { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

async fn finish(store: &PostgresStore, key: &str, token: Uuid) -> LeaseState {
    let body = &Bytes::from_static(b"done");
    store.finish(Completion { principal: "p", key, token, status: 201, headers: &[], body }).await.unwrap()
}

/// Waits for what must not wait for the pool.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it waits for the pool")
}

async fn sessions(pool: &PgPool, application: &str) -> i64 {
    let count = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";
    sqlx::query_scalar(count).bind(application).fetch_one(pool).await.unwrap()
}

async fn no_connection_is_needed(connections: u32, group_commit: bool) {
    let (database, _, elsewhere) = postgres(2).await;
    let pool = postgres_pool(database.url(), connections).await;
    let store = PostgresStore::new(pool.clone()).group_commit(group_commit);
    let (renewed, released) = (reserve(&store, "renewed").await, reserve(&store, "released").await);
    let mut handlers = Vec::new();
    for _ in 0..connections {
        handlers.push(pool.acquire().await.unwrap());
    }
    // New reservations are in front.
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.reserve(claim(&format!("new {n}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for _ in 0..8 {
        for (key, token) in [("renewed", renewed), ("released", released)] {
            let tenure = in_time(store.renew("p", key, token, LEASE, DAY)).await.unwrap();
            assert_eq!(tenure, LeaseState::Held);
            assert_eq!(elsewhere.reserve(claim(key)).await.unwrap(), ClaimOutcome::InFlight);
        }
        tokio::time::sleep(LEASE / 4).await;
    }
    assert_eq!(in_time(finish(&store, "renewed", renewed)).await, LeaseState::Held);
    assert_eq!(in_time(finish(&store, "renewed", renewed)).await, LeaseState::Held, "which looks it up");
    in_time(store.release("p", "released", released)).await.unwrap();
    assert!(matches!(elsewhere.reserve(claim("renewed")).await.unwrap(), ClaimOutcome::Replay(_)));
    assert!(matches!(elsewhere.reserve(claim("released")).await.unwrap(), ClaimOutcome::Reserved { .. }));
    assert!(waiting.iter().all(|reservation| !reservation.is_finished()));
    drop(handlers);
    for reservation in waiting {
        assert!(matches!(reservation.await.unwrap().unwrap(), ClaimOutcome::Reserved { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_renews_or_ends_a_reservation_needs_no_connection_of_the_pool() {
    for connections in [1, 2] {
        no_connection_is_needed(connections, true).await;
        no_connection_is_needed(connections, false).await;
    }
}

/// Many at once go one after the other over one connection, with the pool's hooks; it is closed with the pool.
#[tokio::test(flavor = "multi_thread")]
async fn beside_the_pool_there_is_one_connection_that_is_set_up_and_closed_with_it() {
    let (database, counting, _) = postgres(2).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query("SET application_name = 'hooked'").execute(connection).await?;
                Ok(())
            })
        })
        // Whoever waits for it longer than this has lost the place in the pool's queue, and keeps the other.
        .acquire_timeout(Duration::from_millis(200))
        .connect(database.url())
        .await
        .unwrap();
    let store = PostgresStore::new(pool.clone()).group_commit(false);
    let mut tokens = Vec::new();
    for n in 0..50 {
        tokens.push(reserve(&store, &n.to_string()).await);
    }
    // A renewal waits for this row, and with it those behind.
    let mut user = counting.begin().await.unwrap();
    sqlx::query("SELECT FROM cratestack_idempotency WHERE key = '0' FOR UPDATE").execute(&mut *user).await.unwrap();
    let handler = pool.acquire().await.unwrap();
    assert_eq!(sessions(&counting, "hooked").await, 1);
    let renew = |n: usize| {
        let (store, token) = (store.clone(), tokens[n]);
        async move { store.renew("p", &n.to_string(), token, DAY, DAY).await }
    };
    let first = tokio::spawn(renew(0));
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&counting).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let others: Vec<_> = (1..50).map(|n| tokio::spawn(renew(n))).collect();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(sessions(&counting, "hooked").await, 2);
    user.rollback().await.unwrap();
    for renewal in std::iter::once(first).chain(others) {
        assert_eq!(in_time(renewal).await.unwrap().unwrap(), LeaseState::Held);
    }
    assert_eq!(sessions(&counting, "hooked").await, 2);
    drop(handler);
    pool.close().await;
    for _ in 0..1_000 {
        if sessions(&counting, "hooked").await == 0 {
            assert!(in_time(store.renew("p", "1", tokens[1], DAY, DAY)).await.is_err(), "and stays closed");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a connection outlives its pool");
}
