//! Handlers whose statements reach for what the record stands on: told and undone, never a success that is not there.

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::post as on_post;
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Postgres};

use crate::bank::{Failed, post};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<PostgresStore>,
}

/// Writes, and then executes what the request says.
#[idempotent(transaction, optional)]
async fn meddle(mut tx: Tx<Postgres>, statements: String) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO public.payments VALUES ('meddled')").execute(&mut *tx).await?;
    let _ = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await;
    Ok(StatusCode::CREATED)
}

/// In a schema of its own there is a table of the same name.
async fn shop(database: &TestDatabase) -> (PgPool, Router) {
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let tables = "CREATE TABLE payments (what TEXT); CREATE SCHEMA other;
        CREATE TABLE other.cratestack_idempotency (LIKE cratestack_idempotency INCLUDING ALL)";
    sqlx::raw_sql(tables).execute(&pool).await.unwrap();
    let shop = Shop { idempotency: Idempotency::transactional(store) };
    (pool, Router::new().route("/meddle", on_post(meddle)).with_state(shop))
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"))).fetch_one(pool).await.unwrap()
}

/// The key's claim is a setting, and a handler that resets all of them has still not ended its transaction.
#[tokio::test]
async fn a_handler_that_resets_the_claim_is_undone() {
    let database = TestDatabase::create().await;
    let (pool, router) = shop(&database).await;
    for statements in ["RESET ALL", "SET cratestack.claim = 'mine'"] {
        for _ in 0..2 {
            let refused = post(&router, "/meddle", Some("k"), statements).await;
            assert_eq!(refused.code(), "idempotency_transaction_refused", "{statements}");
        }
    }
    assert_eq!((count(&pool, "payments").await, count(&pool, "cratestack_idempotency").await), (0, 0));
}

/// A record in a table that the next request does not look into would be lost.
#[tokio::test]
async fn a_record_goes_into_the_table_that_was_looked_into() {
    let database = TestDatabase::create().await;
    let (pool, router) = shop(&database).await;
    for statements in [
        "SET LOCAL search_path = other",
        "CREATE TEMP TABLE cratestack_idempotency (LIKE public.cratestack_idempotency INCLUDING ALL)",
    ] {
        for _ in 0..2 {
            let refused = post(&router, "/meddle", Some("k"), statements).await;
            assert_eq!(refused.code(), "idempotency_transaction_refused", "{statements}");
        }
    }
    assert_eq!((count(&pool, "payments").await, count(&pool, "other.cratestack_idempotency").await), (0, 0));
    let back = "SET LOCAL search_path = other; SET LOCAL search_path = public";
    assert_eq!(post(&router, "/meddle", Some("k"), back).await.status, StatusCode::CREATED);
    assert!(post(&router, "/meddle", Some("k"), back).await.is_replay());
    assert_eq!(count(&pool, "payments").await, 1);
}

/// Postgres answers the commit of a transaction in which a statement has failed with a rollback, and no error.
#[tokio::test]
async fn without_a_key_a_failed_statement_is_told_too() {
    let database = TestDatabase::create().await;
    let (pool, router) = shop(&database).await;
    let refused = post(&router, "/meddle", None, "SELECT 1 / 0").await;
    assert_eq!(refused.code(), "idempotency_transaction_refused");
    assert_eq!(count(&pool, "payments").await, 0);
    assert_eq!(post(&router, "/meddle", None, "SELECT 1").await.status, StatusCode::CREATED);
    assert_eq!(count(&pool, "payments").await, 1);
}
