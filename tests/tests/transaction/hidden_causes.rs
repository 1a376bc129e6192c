//! Errors that hide their cause, as `(StatusCode, String)` does: whether the database has given the transaction up is
//! then all that can be known, and it is looked at after every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;
use axum::routing::post as on_post;
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use tokio::sync::Barrier;

use crate::bank::{Failed, post};

#[derive(Clone, FromRef)]
struct Accounts {
    idempotency: Idempotency<PostgresStore>,
    runs: Arc<AtomicUsize>,
    /// The first two runs meet, each holding the row that the other wants.
    meet: Arc<Barrier>,
}

async fn open(database: &TestDatabase) -> (PgPool, Router, Arc<AtomicUsize>) {
    let pool = PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let tables = "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL);
        INSERT INTO accounts VALUES (1, 0), (2, 0)";
    sqlx::raw_sql(tables).execute(&pool).await.unwrap();
    let runs = Arc::<AtomicUsize>::default();
    let state = Accounts {
        idempotency: Idempotency::transactional(store),
        runs: Arc::clone(&runs),
        meet: Arc::new(Barrier::new(2)),
    };
    let router = Router::new()
        .route("/cross/once/{first}/{second}", on_post(cross_once))
        .route("/cross/again/{first}/{second}", on_post(cross_again))
        .route("/refused/once", on_post(refused_once))
        .route("/refused/again", on_post(refused_again))
        .route("/twice", on_post(twice))
        .route("/twice/shown", on_post(twice_shown))
        .with_state(state);
    (pool, router, runs)
}

type Hidden<T> = Result<T, (StatusCode, String)>;

/// As people write it.
fn broken(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn cross(tx: &mut Tx<Postgres>, accounts: &Accounts, (first, second): (i32, i32)) -> Hidden<StatusCode> {
    const UPDATE: &str = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";
    let run = accounts.runs.fetch_add(1, Ordering::SeqCst);
    sqlx::query(UPDATE).bind(first).execute(&mut **tx).await.map_err(broken)?;
    if run < 2 {
        accounts.meet.wait().await;
    }
    sqlx::query(UPDATE).bind(second).execute(&mut **tx).await.map_err(broken)?;
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction)]
async fn cross_once(
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
    Path(ids): Path<(i32, i32)>,
) -> Hidden<StatusCode> {
    cross(&mut tx, &accounts, ids).await
}

#[idempotent(transaction, retry = 1)]
async fn cross_again(
    mut tx: Tx<Postgres>,
    State(accounts): State<Accounts>,
    Path(ids): Path<(i32, i32)>,
) -> Hidden<StatusCode> {
    cross(&mut tx, &accounts, ids).await
}

/// The first two runs are in somebody's way.
async fn refused(tx: &mut Tx<Postgres>, runs: &AtomicUsize) -> Hidden<StatusCode> {
    sqlx::query("UPDATE accounts SET balance = balance + 1").execute(&mut **tx).await.map_err(broken)?;
    if runs.fetch_add(1, Ordering::SeqCst) < 2 {
        let failure = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$";
        sqlx::raw_sql(failure).execute(&mut **tx).await.map_err(broken)?;
    }
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction, optional)]
async fn refused_once(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Hidden<StatusCode> {
    refused(&mut tx, &runs).await
}

#[idempotent(transaction, optional, retry = 1)]
async fn refused_again(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Hidden<StatusCode> {
    refused(&mut tx, &runs).await
}

const TAKEN: &str = "INSERT INTO accounts VALUES (1, 0)";

/// No other run would fare better.
#[idempotent(transaction)]
async fn twice(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Hidden<StatusCode> {
    runs.fetch_add(1, Ordering::SeqCst);
    sqlx::query(TAKEN).execute(&mut *tx).await.map_err(broken)?;
    Ok(StatusCode::CREATED)
}

/// The same, with an error that shows why.
#[idempotent(transaction)]
async fn twice_shown(mut tx: Tx<Postgres>, State(runs): State<Arc<AtomicUsize>>) -> Result<StatusCode, Failed> {
    runs.fetch_add(1, Ordering::SeqCst);
    sqlx::query(TAKEN).execute(&mut *tx).await?;
    Ok(StatusCode::CREATED)
}

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM cratestack_idempotency").fetch_one(pool).await.unwrap()
}

async fn balance(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT SUM(balance) FROM accounts").fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_that_hides_behind_a_5xx_is_not_recorded() {
    for (handler, lost) in [("once", 1), ("again", 0)] {
        let database = TestDatabase::create().await;
        let (pool, router, _) = open(&database).await;
        let paths = [format!("/cross/{handler}/1/2"), format!("/cross/{handler}/2/1")];
        let (one, other) =
            tokio::join!(post(&router, &paths[0], Some("0"), ""), post(&router, &paths[1], Some("1"), ""));
        assert_eq!(rows(&pool).await, 2 - lost, "{one:?} {other:?}");
        let mut refused = 0;
        for (n, answer) in [one, other].into_iter().enumerate() {
            let again = post(&router, &paths[n], Some(&n.to_string()), "").await;
            assert_eq!(again.status, StatusCode::CREATED, "{handler}: {answer:?}, then {again:?}");
            if answer.status != StatusCode::CREATED {
                assert_eq!((answer.code().as_str(), again.is_replay()), ("idempotency_transaction_rolled_back", false));
                refused += 1;
            }
        }
        assert_eq!((refused, balance(&pool).await), (lost, 4), "{handler}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_serialization_failure_that_hides_behind_a_5xx_is_not_recorded() {
    // With a key, and without one to keep.
    for key in [Some("k"), None] {
        for (path, refusals) in [("/refused/once", 2), ("/refused/again", 1)] {
            let database = TestDatabase::create().await;
            let (pool, router, runs) = open(&database).await;
            for _ in 0..refusals {
                let refused = post(&router, path, key, "").await;
                assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{path} {key:?}: {refused:?}");
                assert_eq!(refused.code(), "idempotency_transaction_rolled_back");
                assert_eq!((rows(&pool).await, balance(&pool).await), (0, 0));
            }
            assert_eq!(runs.load(Ordering::SeqCst), 2, "the last attempt is looked at like the first");
            let paid = post(&router, path, key, "").await;
            assert_eq!((paid.status, balance(&pool).await), (StatusCode::CREATED, 2));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failure_is_recorded_where_its_cause_is_shown_and_run_again_where_it_is_hidden() {
    let database = TestDatabase::create().await;
    let (pool, router, runs) = open(&database).await;
    for run in 1..=2 {
        let hidden = post(&router, "/twice", Some("hidden"), "").await;
        assert_eq!(hidden.code(), "idempotency_transaction_rolled_back");
        assert_eq!((rows(&pool).await, runs.load(Ordering::SeqCst)), (0, run));
    }
    let shown = post(&router, "/twice/shown", Some("shown"), "").await;
    assert_eq!((shown.status, shown.is_replay()), (StatusCode::INTERNAL_SERVER_ERROR, false));
    let again = post(&router, "/twice/shown", Some("shown"), "").await;
    assert_eq!((again.status, again.is_replay(), again.body), (shown.status, true, shown.body));
    assert_eq!((rows(&pool).await, runs.load(Ordering::SeqCst)), (1, 3));
}
