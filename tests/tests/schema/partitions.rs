//! The same store code on a partitioned table.

use std::time::{Duration, SystemTime};

use cratestack_runtime::testing::{Conformance, Verdict};
use cratestack_runtime::{IdempotencyStore, Partitions, PostgresStore};
use cratestack_schema::TableName;
use sqlx::{PgPool, Row};

use crate::databases::{pool, postgres};

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM cratestack_idempotency").fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_keeps_every_promise() {
    let (database, _connection) = postgres().await;
    let pool = pool(&database, 20).await;
    let store = PostgresStore::new(pool).partitioned(Partitions::new(5).unwrap());
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let checked = store.check().await.unwrap();
    assert_eq!(checked.to_string(), "cratestack_idempotency (postgres), version 3, 5 partitions: as expected\n");
    let report = Conformance::new().require_every_method().run(|| async { store.clone() }).await;
    println!("{report}");
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn a_sweep_of_partitions_deletes_as_many_as_it_says_and_nothing_that_lives() {
    let (database, _connection) = postgres().await;
    let pool = pool(&database, 4).await;
    let name = TableName::new(Some("billing"), "Keys\"").unwrap();
    let store = PostgresStore::with_table(pool.clone(), name).partitioned(Partitions::new(8).unwrap());
    store.migrate().await.unwrap();
    sqlx::raw_sql("CREATE VIEW cratestack_idempotency AS SELECT * FROM billing.\"Keys\"\"\"")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::raw_sql(
        "INSERT INTO billing.\"Keys\"\"\" (principal_fingerprint, key, request_hash, reservation_id, expires_at)
         SELECT 'p', 'k' || n, '\\x00', gen_random_uuid(), NOW() + CASE WHEN n % 2 = 0 THEN -1 ELSE 1 END * INTERVAL '1 day'
         FROM generate_series(1, 2000) AS n",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(store.sweep(300).await, Ok(300));
    assert_eq!(rows(&pool).await, 1_700);
    assert_eq!(store.sweep(10_000).await, Ok(700));
    assert_eq!(store.sweep(10_000).await, Ok(0));
    let lives: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM cratestack_idempotency WHERE expires_at > NOW()")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((lives, rows(&pool).await), (1_000, 1_000));
}

/// What a statement costs must not grow with the partitions: it looks at one of them.
#[tokio::test]
async fn a_key_is_looked_for_in_one_partition() {
    let (database, mut connection) = postgres().await;
    let pool = pool(&database, 1).await;
    let store = PostgresStore::new(pool.clone()).partitioned(Partitions::new(16).unwrap());
    store.migrate().await.unwrap();
    let tomorrow = SystemTime::now() + Duration::from_hours(24);
    for n in 0..50 {
        store.reserve_or_fetch("p", &format!("k{n}"), [7; 32], tomorrow).await.unwrap();
    }
    // Each reservation looks into the index of its key's partition, so the looks are as many as the keys and a few.
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(&pool).await.unwrap();
    pool.close().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let scans = sqlx::query("SELECT SUM(idx_scan)::bigint FROM pg_stat_user_indexes WHERE indexrelname LIKE '%pkey'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let scans: i64 = scans.get(0);
    assert!(scans <= 150, "{scans} looks for 50 keys in 16 partitions");
}

/// Programs on the published 0.8 ask for `xmax`, which Postgres does not tell of a partitioned table.
#[tokio::test]
async fn a_program_that_asks_for_xmax_is_refused_by_postgres_and_writes_nothing() {
    let (database, _connection) = postgres().await;
    let pool = pool(&database, 1).await;
    PostgresStore::new(pool.clone()).partitioned(Partitions::new(2).unwrap()).migrate().await.unwrap();
    let refused = sqlx::query(
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
         VALUES ('p', 'k', '\\x00', gen_random_uuid(), NOW() + INTERVAL '1 day')
         ON CONFLICT (principal_fingerprint, key) DO UPDATE SET created_at = NOW()
         WHERE cratestack_idempotency.expires_at <= NOW()
         RETURNING (xmax = 0) AS was_inserted",
    )
    .fetch_optional(&pool)
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("cannot retrieve a system column"), "{refused}");
    assert_eq!(rows(&pool).await, 0);
}
