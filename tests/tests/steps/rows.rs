//! What of a run's steps is in the table, and for how long; over SQLite and Postgres.

use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::TestStore;
use sqlx::{PgPool, SqlitePool};

use crate::world::{Fate, World, on_postgres, on_sqlite, service};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of the one row there is: the bytes of its steps, whether they are its own run's, and how many rows there are.
type Rows = (Option<i64>, Option<bool>, i64);

const ROWS: &str = "SELECT CAST(max(length(steps)) AS BIGINT), max(steps_token = reservation_id), count(*)
    FROM cratestack_idempotency";

trait Table {
    async fn rows(&self) -> Rows;
}

impl Table for PgPool {
    async fn rows(&self) -> Rows {
        let postgres = ROWS.replace("max(steps_token", "bool_or(steps_token");
        sqlx::query_as(sqlx::AssertSqlSafe(postgres)).fetch_one(self).await.unwrap()
    }
}

impl Table for SqlitePool {
    async fn rows(&self) -> Rows {
        sqlx::query_as(ROWS).fetch_one(self).await.unwrap()
    }
}

#[tokio::test]
async fn steps_are_in_their_run_s_row_until_its_outcome_is_on_sqlite() {
    let (store, (pool, _folder)) = on_sqlite().await;
    steps_are_in_their_run_s_row_until_its_outcome_is(store, &pool).await;
}

#[tokio::test]
async fn steps_are_in_their_run_s_row_until_its_outcome_is_on_postgres() {
    let (store, (pool, _database)) = on_postgres().await;
    steps_are_in_their_run_s_row_until_its_outcome_is(store, &pool).await;
}

/// A step takes eight bytes beside its name and its value, which is JSON.
async fn steps_are_in_their_run_s_row_until_its_outcome_is(store: impl TestStore, table: &impl Table) {
    let world = World::of([Fate::Fails, Fate::Fails]);
    let service = service(store, &world);
    let order = service.post("/orders").key("k1");
    let bytes = i64::try_from(8 + "charge".len() + "\"charge 1\"".len()).unwrap();
    for _ in 0..2 {
        assert_eq!(order.send().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(table.rows().await, (Some(bytes), Some(true), 1), "brought along, once");
    }
    assert_eq!(order.send().await.status(), StatusCode::OK);
    assert_eq!(table.rows().await, (None, None, 1));
}

#[tokio::test]
async fn steps_end_with_their_row_s_retention_on_sqlite() {
    let (store, (pool, _folder)) = on_sqlite().await;
    steps_end_with_their_row_s_retention(store, &pool).await;
}

#[tokio::test]
async fn steps_end_with_their_row_s_retention_on_postgres() {
    let (store, (pool, _database)) = on_postgres().await;
    steps_end_with_their_row_s_retention(store, &pool).await;
}

/// Until then the key is the request's own; then it is anybody's, and nobody finds a step, swept or not.
async fn steps_end_with_their_row_s_retention(store: impl TestStore, table: &impl Table) {
    for (round, is_swept) in [false, true].into_iter().enumerate() {
        let world = World::of([Fate::Fails, Fate::Fails]);
        let service = service(store.clone(), &world);
        let key = format!("k{round}");
        let order = service.post("/orders").key(&key);
        let other = order.clone().body("another request");
        order.send().await;
        // Longer than any lease, and shorter than the row is kept.
        service.advance(DAY / 2).await;
        assert_eq!(store.sweep(100).await, Ok(0));
        assert_eq!(other.send().await.status(), StatusCode::UNPROCESSABLE_ENTITY);
        service.advance(DAY).await;
        if is_swept {
            assert_eq!(store.sweep(100).await, Ok(2), "the outcome of the first round, and the steps of this one");
            assert_eq!(table.rows().await, (None, None, 0));
        }
        assert_eq!(other.send().await.status(), StatusCode::SERVICE_UNAVAILABLE, "it runs, and fails");
        assert_eq!(world.seen(), [("charge", 1), ("charge", 1)], "without a step of the other request's");
        assert_eq!(other.send().await.text(), "charge 2, ship 3");
    }
}
