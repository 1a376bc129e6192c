//! Retention: what has expired goes, what has not stays, and a fleet shares the work.

use std::time::Duration;

use cratestack_runtime::{Claim, Idempotency, IdempotencyStore, PostgresStore, SqliteStore};
use sqlx::{PgPool, SqlitePool};

use crate::databases::{postgres, sqlite};

const DAY: Duration = Duration::from_secs(86_400);

async fn reserve(store: &impl IdempotencyStore, key: &str) {
    let claim = Claim { principal: "p", key, request_hash: [0; 32], lease: DAY, retention: DAY };
    store.reserve(claim).await.unwrap();
}

async fn expired_on_postgres(pool: &PgPool, store: &PostgresStore, rows: i64) {
    reserve(store, "live").await;
    sqlx::query(
        "INSERT INTO cratestack_idempotency
            (principal_fingerprint, key, request_hash, reservation_id, response_status, response_headers,
             response_body, created_at, expires_at)
         SELECT 'p', 'old' || n, '\\x00', gen_random_uuid(), 201, '\\x', '\\x', NOW() - INTERVAL '2 days',
                NOW() - INTERVAL '1 day'
         FROM generate_series(1, $1) AS n",
    )
    .bind(rows)
    .execute(pool)
    .await
    .unwrap();
}

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_sweep_deletes_all_that_expired_and_nothing_else() {
    let (_database, pool, store) = postgres(4).await;
    expired_on_postgres(&pool, &store, 2_500).await;
    let idempotency = Idempotency::new(store);
    assert_eq!(idempotency.sweep().await.unwrap(), 2_500);
    assert_eq!(rows(&pool).await, 1);
    assert_eq!(idempotency.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn sqlite_is_swept_too() {
    let (_folder, pool, store): (_, SqlitePool, SqliteStore) = sqlite(4).await;
    for key in 0..20 {
        reserve(&store, &format!("old{key}")).await;
    }
    sqlx::query("UPDATE cratestack_idempotency SET expires_at = 1").execute(&pool).await.unwrap();
    reserve(&store, "live").await;
    assert_eq!(Idempotency::new(store).sweep().await.unwrap(), 20);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_sweeps_together_and_no_row_is_counted_twice() {
    let (_database, pool, store) = postgres(10).await;
    expired_on_postgres(&pool, &store, 20_000).await;
    let fleet = (0..5).map(|_| {
        let idempotency = Idempotency::new(store.clone());
        tokio::spawn(async move { idempotency.sweep().await.unwrap() })
    });
    let mut swept = 0;
    for process in futures_util::future::join_all(fleet).await {
        swept += process.unwrap();
    }
    swept += Idempotency::new(store).sweep().await.unwrap();
    assert_eq!(swept, 20_000);
    assert_eq!(rows(&pool).await, 1);
}

#[tokio::test]
async fn a_sweep_waits_for_nobody() {
    let (_database, pool, store) = postgres(4).await;
    expired_on_postgres(&pool, &store, 100).await;
    let mut user = pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM cratestack_idempotency WHERE key = 'old1' FOR UPDATE")
        .execute(&mut *user)
        .await
        .unwrap();
    assert_eq!(
        Idempotency::new(store.clone()).sweep().await.unwrap(),
        99,
        "a row that somebody holds is left for later"
    );
    user.rollback().await.unwrap();
    assert_eq!(Idempotency::new(store).sweep().await.unwrap(), 1);
}

/// In the middle of one sweep another finds the rest, and neither waits.
#[tokio::test]
async fn two_sweeps_at_once_share_the_rows() {
    let (_database, pool, store) = postgres(4).await;
    expired_on_postgres(&pool, &store, 100).await;
    let sweep = cratestack_schema::TableName::default().sweep(cratestack_schema::Dialect::Postgres);
    let mut other = pool.begin().await.unwrap();
    let theirs =
        sqlx::query(sqlx::AssertSqlSafe(sweep)).bind(60_i64).execute(&mut *other).await.unwrap().rows_affected();
    assert_eq!(theirs, 60);
    assert_eq!(store.sweep(60).await.unwrap(), 40, "what the other has not taken");
    other.commit().await.unwrap();
    assert_eq!(store.sweep(60).await.unwrap(), 0);
    assert_eq!(rows(&pool).await, 1);
}

/// There a row that another sweeper deletes meanwhile is an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_sweeps_where_transactions_are_serializable_by_default() {
    let (database, pool, store) = postgres(4).await;
    expired_on_postgres(&pool, &store, 5_000).await;
    let fleet = (0..4).map(|_| {
        let url = format!("{}?options[default_transaction_isolation]=serializable", database.url());
        tokio::spawn(async move {
            let store = PostgresStore::new(crate::databases::postgres_pool(&url, 1).await);
            let mut swept = 0;
            for _ in 0..100 {
                swept += store.sweep(50).await.unwrap();
            }
            swept
        })
    });
    let swept: u64 = futures_util::future::join_all(fleet).await.into_iter().map(Result::unwrap).sum();
    assert_eq!((swept, rows(&pool).await), (5_000, 1));
}

#[tokio::test]
async fn the_background_sweeper_sweeps_and_stops() {
    let (_database, pool, store) = postgres(4).await;
    expired_on_postgres(&pool, &store, 10).await;
    let sweeper = Idempotency::new(store.clone()).sweep_every(Duration::from_millis(20));
    for _ in 0..500 {
        if rows(&pool).await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rows(&pool).await, 1);
    sweeper.stop().await;
    expired_on_postgres(&pool, &store, 10).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rows(&pool).await, 11, "a stopped sweeper deletes nothing");
}
