//! The same store over a table of many partitions.

use std::time::Duration;

use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Claim, IdempotencyStore, PostgresStore};
use cratestack_schema::{Dialect, IDEMPOTENCY, Layout};

use crate::databases::{keeps_every_promise, postgres, run};

fn partitioned(name: &TableName) -> String {
    Layout::new(name.clone()).partitions(8).ddl(Dialect::Postgres, IDEMPOTENCY.latest()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_keeps_every_promise() {
    let (database, pool) = postgres(1).await;
    for _ in 0..2 {
        run(&pool, &partitioned(&TableName::default())).await;
    }
    keeps_every_promise(database.url(), TableName::default()).await;
}

#[tokio::test]
async fn a_sweep_of_partitions_deletes_what_it_picked_and_no_more() {
    let (_database, pool) = postgres(4).await;
    let name = TableName::new(None, &"x".repeat(63)).unwrap();
    run(&pool, &partitioned(&name)).await;
    let store = PostgresStore::new(pool.clone()).table(name.clone()).unwrap();
    for key in 0..400 {
        let key = format!("k{key}");
        let claim = Claim {
            principal: "p",
            key: &key,
            request_hash: [0; 32],
            lease: Duration::ZERO,
            retention: Duration::ZERO,
        };
        store.reserve(claim).await.unwrap();
    }
    // Rows of different partitions have the same place, and a place is not to be mistaken for a row.
    let places: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(DISTINCT ctid) FROM {name}")))
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(places < 200, "{places}");
    assert_eq!(store.sweep(100).await, Ok(100));
    let mut held = pool.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("SELECT 1 FROM {name} LIMIT 50 FOR UPDATE")))
        .fetch_all(&mut *held)
        .await
        .unwrap();
    assert_eq!(store.sweep(1_000).await, Ok(250), "rows that somebody holds are left for later");
    held.rollback().await.unwrap();
    assert_eq!(store.sweep(1_000).await, Ok(50));
}

#[tokio::test]
async fn partitions_of_version_1_are_upgraded_and_every_table_has_its_storage_options() {
    let (_database, pool) = postgres(4).await;
    let name = TableName::new(None, "parted").unwrap();
    run(&pool, &Layout::new(name.clone()).partitions(2).ddl(Dialect::Postgres, 1).unwrap()).await;
    for name in [name, TableName::default()] {
        let store = PostgresStore::new(pool.clone()).table(name).unwrap();
        store.migrate().await.unwrap();
        let report = store.check().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    let expected: Vec<_> =
        IDEMPOTENCY.storage.iter().map(|option| format!("{}={}", option.name, option.value)).collect();
    for table in ["cratestack_idempotency", "parted_p0", "parted_p1"] {
        let options: Vec<String> = sqlx::query_scalar("SELECT reloptions FROM pg_class WHERE relname = $1")
            .bind(table)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(options, expected, "{table}");
    }
}

/// Programs on the published 0.8 ask for `xmax`, which Postgres does not tell of a partitioned table.
#[tokio::test]
async fn a_program_that_asks_for_xmax_is_refused_and_writes_nothing() {
    let (_database, pool) = postgres(1).await;
    run(&pool, &partitioned(&TableName::default())).await;
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
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM cratestack_idempotency").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 0);
}
