//! A table that is missing, and rows that were damaged by hand.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use cratestack_runtime::schema::POSTGRES_DDL;
use cratestack_runtime::{Idempotency, IdempotencyStore, PostgresStore, SqliteStore, StoreError};
use cratestack_tests::postgres::TestDatabase;
use sqlx::sqlite::SqlitePoolOptions;

use crate::databases::{Service, postgres, postgres_pool};

#[tokio::test]
async fn a_missing_table_names_what_creates_it() {
    let database = TestDatabase::create().await;
    let postgres = PostgresStore::new(postgres_pool(database.url(), 2).await);
    let sqlite =
        SqliteStore::new(SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap());
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let errors = [
        ("PostgresStore::migrate()", postgres.reserve_or_fetch("p", "k", [0; 32], tomorrow).await),
        ("SqliteStore::migrate()", sqlite.reserve_or_fetch("p", "k", [0; 32], tomorrow).await),
    ];
    for (method, outcome) in errors {
        let Err(StoreError::Schema(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains(method) && text.contains("cratestack-schema ddl"), "{text}");
    }
    let service = Service::over(Idempotency::new(postgres.clone()));
    assert_eq!(service.post("/pay", "k1").await.0, StatusCode::SERVICE_UNAVAILABLE);
    postgres.migrate().await.unwrap();
    assert_eq!(service.post("/pay", "k1").await.0, StatusCode::CREATED, "it recovers without a restart");
}

#[tokio::test]
async fn the_ddl_constant_creates_what_the_store_needs() {
    let database = TestDatabase::create().await;
    let pool = postgres_pool(database.url(), 2).await;
    for _ in 0..2 {
        sqlx::raw_sql(POSTGRES_DDL).execute(&pool).await.unwrap();
    }
    let service = Service::over(Idempotency::new(PostgresStore::new(pool)));
    assert_eq!(service.post("/pay", "k1").await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_damaged_row_is_500_and_never_runs_again() {
    let (_database, pool, store) = postgres(2).await;
    let service = Service::over(Idempotency::new(store).replay_cache_bytes(0));
    let damages = [
        "request_hash = 'short'",
        "response_status = 9999",
        "response_status = 0",
        "response_status = -5",
        "response_body = NULL",
        r"response_headers = '\x01000000'",
        r"response_headers = '\xffffffffffffffffffffffff'",
        r"response_headers = '\x01000000010000006103000000610d0a'",
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let key = format!("k{index}");
        assert_eq!(service.post("/pay", &key).await.0, StatusCode::CREATED);
        let effects = service.effects();
        let update = format!("UPDATE cratestack_idempotency SET {damage} WHERE key = $1");
        sqlx::query(sqlx::AssertSqlSafe(update)).bind(&key).execute(&pool).await.unwrap();
        let (status, headers, body) = service.post("/pay", &key).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{damage}");
        assert!(String::from_utf8_lossy(&body).contains("idempotency_record_damaged"), "{damage}: {body:?}");
        assert!(!headers.contains_key("idempotency-replayed"));
        assert_eq!(service.effects(), effects, "{damage}");
    }
}
