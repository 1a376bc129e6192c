//! Large outcomes on Postgres: compressed by the quick method where the server has it, and replayed byte for byte.
//!
//! One thread, so that calls meet in a batch.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore};
use cratestack_tests::postgres::TestDatabase;
use futures_util::future::join_all;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::databases::postgres;

const MINUTE: Duration = Duration::from_secs(60);

fn claim(key: &str) -> Claim<'_> {
    Claim { principal: "p", key, request_hash: [7; 32], lease: MINUTE, retention: MINUTE }
}

/// As an API answers: it can be compressed to a fraction.
fn body(n: usize) -> Bytes {
    let payments = (0..400).map(|i| format!(r#"{{"id":"{n}-{i}","amount":{},"currency":"EUR"}}"#, i * 7919 % 100_000));
    Bytes::from(format!("[{}]", payments.collect::<Vec<_>>().join(",")))
}

/// Records an outcome for each of `numbers`, all at once, and reads it again.
async fn recorded(store: &PostgresStore, numbers: std::ops::Range<usize>) {
    let names: Vec<_> = numbers.map(|n| (n, format!("k{n}"))).collect();
    let finished = join_all(names.iter().map(|(n, key)| async move {
        let ClaimOutcome::Reserved { token, .. } = store.reserve(claim(key)).await.unwrap() else { panic!() };
        let body = &body(*n);
        store.finish(Completion { principal: "p", key, token, status: 201, headers: b"", body }).await
    }));
    for answer in finished.await {
        assert_eq!(answer, Ok(LeaseState::Held));
    }
    for (n, key) in &names {
        let ClaimOutcome::Replay(record) = store.reserve(claim(key)).await.unwrap() else { panic!() };
        assert_eq!(record.response_body, body(*n), "{key}");
    }
}

/// How the server has compressed the outcomes, each method once.
async fn methods(pool: &PgPool) -> Vec<String> {
    let methods = "SELECT DISTINCT pg_column_compression(response_body) FROM cratestack_idempotency";
    sqlx::query_scalar(methods).fetch_all(pool).await.unwrap()
}

/// What the server can do that the tests run on.
async fn quickest(pool: &PgPool) -> &'static str {
    let has_lz4 = "SELECT EXISTS (
        SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
    )";
    if sqlx::query_scalar(has_lz4).fetch_one(pool).await.unwrap() { "lz4" } else { "pglz" }
}

#[tokio::test]
async fn they_are_compressed_by_the_quick_method_alone_and_in_batches() {
    let (_database, pool, store) = postgres(4).await;
    let quickest = quickest(&pool).await;
    recorded(&store, 0..1).await;
    assert_eq!(methods(&pool).await, [quickest]);
    recorded(&store, 1..33).await;
    assert_eq!(methods(&pool).await, [quickest]);
    // The connections of the pool are the application's, and its tables too.
    let setting: String = sqlx::query_scalar("SHOW default_toast_compression").fetch_one(&pool).await.unwrap();
    assert_eq!(setting, "pglz");
}

#[tokio::test]
async fn who_has_chosen_a_method_for_the_column_keeps_it() {
    let (_database, pool, store) = postgres(4).await;
    let choose = "ALTER TABLE cratestack_idempotency ALTER COLUMN response_body SET COMPRESSION pglz";
    sqlx::query(choose).execute(&pool).await.unwrap();
    recorded(&store, 0..9).await;
    assert_eq!(methods(&pool).await, ["pglz"]);
}

/// A server that was built without `lz4`, as far as a statement can tell.
async fn without_lz4(database: &TestDatabase) -> PgPool {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await.unwrap();
    PostgresStore::new(admin.clone()).migrate().await.unwrap();
    sqlx::raw_sql(
        "CREATE SCHEMA poor;
         CREATE SEQUENCE poor.asked;
         CREATE FUNCTION poor.set_config(name text, value text, is_local boolean) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
             IF name = 'default_toast_compression' THEN
                 PERFORM nextval('poor.asked');
                 RAISE EXCEPTION 'invalid value for parameter \"%\"', name USING ERRCODE = 'invalid_parameter_value';
             END IF;
             RETURN pg_catalog.set_config(name, value, is_local);
         END $$",
    )
    .execute(&admin)
    .await
    .unwrap();
    let options = options.options([("search_path", "poor,pg_catalog,public")]);
    PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
}

async fn asked(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM poor.asked")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_server_without_the_quick_method_is_asked_for_it_no_more_than_a_moment() {
    let database = TestDatabase::create().await;
    let pool = without_lz4(&database).await;
    let store = PostgresStore::new(pool.clone());
    recorded(&store, 0..1).await;
    assert_eq!(asked(&pool).await, 1, "the first outcome of the process finds out");
    recorded(&store, 1..33).await;
    assert_eq!(asked(&pool).await, 1);
    assert_eq!(methods(&pool).await, ["pglz"]);

    let other = PostgresStore::new(pool.clone());
    recorded(&other, 33..65).await;
    assert!(asked(&pool).await > 1, "a batch was refused, and each of its calls goes alone");
    let before = asked(&pool).await;
    recorded(&other, 65..97).await;
    assert_eq!(asked(&pool).await, before);
}
