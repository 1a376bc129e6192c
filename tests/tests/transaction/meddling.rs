//! Handlers whose statements reach for what the record stands on: told and undone, never a success that is not there.

use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::post as on_post;
use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::TestDatabase;
use cratestack_tests::postgres::PostgresOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Postgres};

use crate::bank::{Failed, post};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<PostgresStore>,
}

/// Writes, and then executes what the request says, line by line.
#[idempotent(transaction, optional)]
async fn meddle(mut tx: Tx<Postgres>, statements: String) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO public.payments VALUES ('meddled')").execute(&mut *tx).await?;
    for statements in statements.lines() {
        let _ = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut *tx).await;
    }
    Ok(StatusCode::CREATED)
}

/// The same, and then answers an error.
#[idempotent(transaction)]
async fn fail(mut tx: Tx<Postgres>, statements: String) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO public.payments VALUES ('failed')").execute(&mut *tx).await?;
    let _ = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await;
    Err(Failed::Asked(StatusCode::PAYMENT_REQUIRED))
}

/// The same, and takes its time afterwards.
#[idempotent(transaction)]
async fn idle(mut tx: Tx<Postgres>, statements: String) -> Result<StatusCode, Failed> {
    sqlx::query("INSERT INTO public.payments VALUES ('idle')").execute(&mut *tx).await?;
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(StatusCode::CREATED)
}

/// In a schema of its own there is a table of the same name.
async fn shop(database: &TestDatabase) -> (PgPool, Router) {
    shop_with(database, TableName::default()).await
}

async fn shop_with(database: &TestDatabase, table: TableName) -> (PgPool, Router) {
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    PostgresStore::new(pool.clone()).migrate().await.unwrap();
    let store = PostgresStore::new(pool.clone()).table(table).unwrap();
    store.migrate().await.unwrap();
    let tables = "CREATE TABLE payments (what TEXT); CREATE SCHEMA other;
        CREATE TABLE other.cratestack_idempotency (LIKE cratestack_idempotency INCLUDING ALL)";
    sqlx::raw_sql(tables).execute(&pool).await.unwrap();
    let shop = Shop { idempotency: Idempotency::transactional(store) };
    let router = Router::new().route("/meddle", on_post(meddle)).route("/fail", on_post(fail));
    (pool, router.route("/idle", on_post(idle)).with_state(shop))
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

/// Prepared for a commit in two phases, it would hold its key, and what it wrote could be committed without its
/// outcome.
#[tokio::test]
async fn a_transaction_that_its_handler_prepares_is_undone() {
    let server = PostgresOptions::new().set("max_prepared_transactions", "5").start().await;
    let database = TestDatabase::create_on(&server).await;
    let (pool, router) = shop(&database).await;
    for end in ["SELECT 1", "SELECT 1 / 0"] {
        let prepare = format!(r#"PREPARE TRANSACTION E'it\'s "mine" \\'; {end}"#);
        for path in ["/meddle", "/fail"] {
            for _ in 0..2 {
                let refused = post(&router, path, Some("k"), &prepare).await;
                assert_eq!(refused.code(), "idempotency_transaction_refused", "{path}, {end}");
                assert_eq!(count(&pool, "pg_prepared_xacts").await, 0, "{path}, {end}");
            }
        }
    }
    assert_eq!((count(&pool, "payments").await, count(&pool, "cratestack_idempotency").await), (0, 0));
    // Whoever commits it in between has ended it, as by a COMMIT.
    let ended = "PREPARE TRANSACTION 'mine'\nCOMMIT PREPARED 'mine'";
    assert_eq!(post(&router, "/meddle", Some("ended"), ended).await.status, StatusCode::CREATED);
    assert!(post(&router, "/meddle", Some("ended"), ended).await.is_replay());
    assert_eq!(post(&router, "/meddle", Some("k"), "SELECT 1").await.status, StatusCode::CREATED, "the key is free");
    assert_eq!(count(&pool, "payments").await, 2);
}

#[tokio::test]
async fn a_table_may_have_any_name() {
    let database = TestDatabase::create().await;
    let name = TableName::new(Some("public"), r#"it's "a\b" $1"#).unwrap();
    let (pool, router) = shop_with(&database, name).await;
    for statements in ["SELECT 1", "SET LOCAL standard_conforming_strings = off", "SET LOCAL search_path = other"] {
        let key = statements.len().to_string();
        assert_eq!(post(&router, "/meddle", Some(&key), statements).await.status, StatusCode::CREATED, "{statements}");
        assert!(post(&router, "/meddle", Some(&key), statements).await.is_replay());
    }
    assert_eq!(count(&pool, "payments").await, 3);
}

/// A session that the server ended for its idleness: another run may be quicker.
#[tokio::test]
async fn a_session_that_was_idle_for_too_long_may_try_again() {
    let database = TestDatabase::create().await;
    let (pool, router) = shop(&database).await;
    let idle = "SET LOCAL idle_in_transaction_session_timeout = '1ms'; SELECT pg_sleep(0)";
    let ended = post(&router, "/idle", Some("k"), idle).await;
    assert_eq!(ended.code(), "idempotency_transaction_rolled_back");
    assert_eq!(count(&pool, "payments").await, 0);
}
