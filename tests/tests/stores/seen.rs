//! Outcomes that a process has seen: replayed without asking the store, and never past their end.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, PostgresStore};
use cratestack_tests::postgres::{RoundTrips, TestDatabase};
use sqlx::PgPool;

use crate::databases::{Service, postgres_pool, sqlite};

/// A process of a fleet whose round trips are counted.
struct Process {
    service: Service,
    pool: PgPool,
    round_trips: RoundTrips,
}

impl Process {
    async fn on(database: &TestDatabase, set: impl FnOnce(Idempotency) -> Idempotency) -> Self {
        let round_trips = RoundTrips::before(database.url()).await;
        let pool = postgres_pool(round_trips.url(), 2).await;
        let store = PostgresStore::new(pool.clone());
        store.migrate().await.unwrap();
        let process = Self { service: Service::over(set(Idempotency::new(store))), pool, round_trips };
        // The first outcome that could be kept lets the process look at the store's clock.
        assert_eq!(process.post("/pay", &uuid::Uuid::new_v4().to_string()).await.0, StatusCode::CREATED);
        tokio::time::sleep(Duration::from_millis(200)).await;
        process
    }

    /// What was answered, and whether the store was asked.
    async fn post(&self, path: &str, key: &str) -> (StatusCode, bool, Bytes, bool) {
        // A pool looks at a connection that comes back to it, which is no question of this request's.
        while self.pool.num_idle() < self.pool.size() as usize {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = self.round_trips.count();
        let (status, headers, body) = self.service.post(path, key).await;
        (status, headers.contains_key("idempotency-replayed"), body, self.round_trips.count() > before)
    }
}

const ASKED: bool = true;

impl Process {
    /// The outcome, once it is replayed without asking: it is kept just behind the answer that it was first told in.
    async fn unasked(&self, key: &str) -> Bytes {
        for _ in 0..200 {
            let (status, replayed, body, asked) = self.post("/pay", key).await;
            assert_eq!((status, replayed), (StatusCode::CREATED, true));
            if !asked {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it is not kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_recorded_here_is_replayed_without_asking() {
    let database = TestDatabase::create().await;
    let here = Process::on(&database, |idempotency| idempotency).await;
    let (status, replayed, body, asked) = here.post("/pay", "k1").await;
    assert_eq!((status, replayed, asked), (StatusCode::CREATED, false, ASKED));
    assert_eq!(here.unasked("k1").await, body);
    let (status, _, problem, asked) = here.post("/held", "k1").await;
    assert_eq!((status, asked), (StatusCode::UNPROCESSABLE_ENTITY, !ASKED));
    assert!(String::from_utf8_lossy(&problem).contains("idempotency_key_conflict"));
    assert_eq!(here.service.effects(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_store_told_is_not_asked_for_again() {
    let database = TestDatabase::create().await;
    let (here, there) = (Process::on(&database, |it| it).await, Process::on(&database, |it| it).await);
    let (_, _, body, _) = there.post("/pay", "k1").await;
    assert_eq!(here.post("/pay", "k1").await, (StatusCode::CREATED, true, body.clone(), ASKED));
    assert_eq!(here.unasked("k1").await, body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_not_kept_past_its_end() {
    let ttl = Duration::from_secs(3);
    let database = TestDatabase::create().await;
    let recorder = Process::on(&database, |it| it.ttl(ttl).lease(ttl)).await;
    let reader = Process::on(&database, |it| it.ttl(ttl).lease(ttl)).await;
    recorder.post("/pay", "k1").await;
    reader.post("/pay", "k1").await;
    for process in [&recorder, &reader] {
        process.unasked("k1").await;
    }
    tokio::time::sleep(ttl).await;
    // Another process takes the expired key, and is at it: nobody is told the old outcome.
    let other = Process::on(&database, |it| it).await;
    let running = tokio::spawn({
        let service = other.service.clone();
        async move { service.post("/held", "k1").await }
    });
    other.service.waiting.notified().await;
    for process in [&recorder, &reader] {
        assert_eq!(process.post("/held", "k1").await.0, StatusCode::CONFLICT);
        assert_eq!(process.post("/pay", "k1").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    other.service.gate.notify_one();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_turned_off_and_a_key_can_be_forgotten() {
    let database = TestDatabase::create().await;
    let off = Process::on(&database, |it| it.replay_cache_bytes(0)).await;
    let on = Process::on(&database, |it| it).await;
    off.post("/pay", "k1").await;
    assert!(off.post("/pay", "k1").await.3);
    on.post("/pay", "k1").await;
    on.unasked("k1").await;
    let pool = postgres_pool(database.url(), 1).await;
    let principal: String =
        sqlx::query_scalar("DELETE FROM cratestack_idempotency WHERE key = 'k1' RETURNING principal_fingerprint")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(on.post("/pay", "k1").await.1, "a row that is gone is still known here");
    on.service.idempotency.forget(&principal, "k1");
    let (status, replayed, _, _) = on.post("/pay", "k1").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "it runs again");
}

#[tokio::test]
async fn sqlite_shows_its_clock_too() {
    let (_folder, pool, store) = sqlite(2).await;
    let service = Service::over(Idempotency::new(store));
    assert_eq!(service.post("/pay", "k0").await.0, StatusCode::CREATED);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, _, body) = service.post("/pay", "k1").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    sqlx::query("DELETE FROM cratestack_idempotency").execute(&pool).await.unwrap();
    assert_eq!(service.post("/pay", "k1").await.2, body);
}
