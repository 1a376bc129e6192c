//! A handler with `transaction` below a layer: what it writes and its record are one commit all the same.

use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::records::{IfRunning, Principal, RecordState, RemovalOutcome};
use cratestack_runtime::{
    Idempotency, IdempotencyLayer, PostgresStore, Reservation, SqliteStore, StepError, Tx, idempotent,
};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool};
use tower::ServiceExt;

use crate::door::Outcome;
use crate::web::{call, request};

const ALICE: &str = "Bearer alice";

struct Failed(String);

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<StepError> for Failed {
    fn from(error: StepError) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (axum::http::StatusCode::INTERNAL_SERVER_ERROR, self.0).into_response()
    }
}

macro_rules! over {
    ($module:ident, $database:ty, $pool:ty, $store:ty) => {
        mod $module {
            use super::*;

            #[idempotent(transaction)]
            async fn pay(tx: Tx<$database>, amount: String) -> Result<String, Failed> {
                paid_in(tx, amount).await
            }

            async fn paid_in(mut tx: Tx<$database>, amount: String) -> Result<String, Failed> {
                sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(&amount).execute(&mut *tx).await?;
                let paid: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(&mut *tx).await?;
                if amount == "too much" { Err(Failed(format!("failed {paid}"))) } else { Ok(paid.to_string()) }
            }

            #[idempotent(transaction, handle = handle)]
            async fn pay_by_handle(
                tx: Tx<$database>,
                Extension(handle): Extension<Idempotency<$store>>,
                amount: String,
            ) -> Result<String, Failed> {
                let _ = handle;
                paid_in(tx, amount).await
            }

            /// It knows nothing of the layer, and its step's writes and record are one commit all the same.
            async fn in_steps(reservation: Reservation<$database>, amount: String) -> Result<String, Failed> {
                let paid = reservation.transaction("debit", async |tx: &mut Tx<$database>| {
                    sqlx::query("INSERT INTO payments (amount) VALUES ($1)").bind(&amount).execute(&mut **tx).await?;
                    let paid: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(&mut **tx).await?;
                    Ok::<_, Failed>(paid)
                });
                let paid = paid.await?;
                assert!(reservation.attempt() > 1, "the first attempt dies here");
                Ok(paid.to_string())
            }

            pub async fn check_steps(pool: $pool, store: $store) {
                sqlx::query("CREATE TABLE payments (amount TEXT NOT NULL)").execute(&pool).await.unwrap();
                let layer = IdempotencyLayer::new(Idempotency::transactional(store));
                let router = Router::new().route("/work", post(in_steps)).layer(layer);
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Panicked);
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1));
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Replayed(1));
                assert_eq!(paid(&pool).await, 1);
            }

            async fn paid(pool: &$pool) -> i64 {
                sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(pool).await.unwrap()
            }

            pub async fn check(pool: $pool, store: $store) {
                sqlx::query("CREATE TABLE payments (amount TEXT NOT NULL)").execute(&pool).await.unwrap();
                let handle = Idempotency::transactional(store);
                let of_state = Router::new().route("/work", post(pay)).with_state(handle.clone());
                check_of(&pool, &handle, of_state).await;
            }

            pub async fn check_by_handle(pool: $pool, store: $store) {
                sqlx::query("CREATE TABLE payments (amount TEXT NOT NULL)").execute(&pool).await.unwrap();
                let handle = Idempotency::transactional(store);
                let named = Router::new().route("/work", post(pay_by_handle)).layer(Extension(handle.clone()));
                check_of(&pool, &handle, named).await;
            }

            async fn check_of(pool: &$pool, handle: &Idempotency<$store>, router: Router) {
                let operator = handle.clone();
                let router = router.layer(IdempotencyLayer::new(handle.clone()));
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1));
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Replayed(1));
                assert_eq!(call(&router, ALICE, "k", "6").await, Outcome::Conflict);
                // As if the process had died after the commit, and the lease of the layer's reservation had ended.
                let forgotten = operator.forget_record(&Principal::authorization(ALICE), "k", IfRunning::Refuse).await;
                assert_eq!(forgotten.unwrap(), RemovalOutcome::Removed(RecordState::Finished));
                assert_eq!(call(&router, ALICE, "k", "5").await, Outcome::Fresh(1), "it is told, and not run again");
                assert_eq!(paid(pool).await, 1);

                // An error undoes what was written, and is an outcome, as the attribute has it.
                for _ in 0..2 {
                    assert_eq!(call(&router, ALICE, "another", "too much").await, Outcome::Failed(2));
                }
                assert_eq!(paid(pool).await, 1);
                // A request without a key is not the layer's concern, and the attribute asks for one.
                let mut keyless = request(ALICE, "k", "5");
                keyless.headers_mut().remove("idempotency-key");
                let refused = router.oneshot(keyless).await.unwrap();
                assert_eq!(refused.status(), axum::http::StatusCode::BAD_REQUEST);
            }
        }
    };
}

over!(over_postgres, Postgres, PgPool, PostgresStore);
over!(over_sqlite, Sqlite, SqlitePool, SqliteStore);

async fn postgres() -> (TestDatabase, PgPool, PostgresStore) {
    let database = TestDatabase::create().await;
    let pool = PgPoolOptions::new().max_connections(2).connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (database, pool, store)
}

async fn sqlite() -> (tempfile::TempDir, SqlitePool, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("layer.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    (folder, pool, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_below_a_layer_is_one_commit_with_its_record_on_postgres() {
    let (_database, pool, store) = postgres().await;
    over_postgres::check(pool, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_below_a_layer_is_one_commit_with_its_record_on_sqlite() {
    let (_folder, pool, store) = sqlite().await;
    over_sqlite::check(pool, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_named_handle_below_a_layer_is_one_commit_with_its_record_on_postgres() {
    let (_database, pool, store) = postgres().await;
    over_postgres::check_by_handle(pool, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_a_named_handle_below_a_layer_is_one_commit_with_its_record_on_sqlite() {
    let (_folder, pool, store) = sqlite().await;
    over_sqlite::check_by_handle(pool, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_a_transaction_below_a_layer_happens_once_on_postgres() {
    let (_database, pool, store) = postgres().await;
    over_postgres::check_steps(pool, store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_a_transaction_below_a_layer_happens_once_on_sqlite() {
    let (_folder, pool, store) = sqlite().await;
    over_sqlite::check_steps(pool, store).await;
}
