//! A process ends within a transaction: nothing of it is there, and the key is free at once.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::testing::{Crash, Service};
use cratestack_runtime::{Idempotency, Tx, idempotent};

macro_rules! over {
    ($module:ident, $database:ty, $store:ty, $open:ident) => {
        mod $module {
            use super::*;

            #[derive(Clone, axum::extract::FromRef)]
            struct App {
                idempotency: Idempotency<$store>,
                crash: Crash,
            }

            #[idempotent(transaction)]
            async fn pay(
                State(crash): State<Crash>,
                mut tx: Tx<$database>,
                amount: String,
            ) -> Result<String, StatusCode> {
                let payment = sqlx::query("INSERT INTO payments VALUES ($1)").bind(&amount);
                payment.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
                crash.here().await;
                Ok(format!("paid {amount}"))
            }

            async fn service() -> (Service<$store>, impl AsyncFn() -> Vec<String>) {
                let (store, (pool, keep)) = crate::world::$open().await;
                sqlx::query("CREATE TABLE payments (amount TEXT NOT NULL)").execute(&pool).await.unwrap();
                let crash = Crash::once();
                let service = Service::transactional(store, move |idempotency| {
                    Router::new().route("/payments", post(pay)).with_state(App { idempotency, crash: crash.clone() })
                });
                let payments = async move || {
                    let _keep = &keep;
                    sqlx::query_scalar("SELECT amount FROM payments").fetch_all(&pool).await.unwrap()
                };
                (service, payments)
            }

            #[tokio::test]
            async fn a_crash_undoes_what_was_written_and_frees_the_key() {
                let (service, payments) = service().await;
                let payment = service.post("/payments").key("k1").body("5");
                payment.crash().await;
                assert!(payments().await.is_empty());
                payment.crash_before_recording().await;
                assert!(payments().await.is_empty(), "it was not committed");
                let [first, _] = payment.twice().await;
                assert_eq!((first.status(), first.text()), (StatusCode::OK, "paid 5"));
                assert_eq!(payments().await, ["5"]);
                service.restart().await;
                assert!(payment.send().await.is_replay());
                assert_eq!(payments().await, ["5"]);
            }

            /// Each takes a connection along that was in hand.
            #[tokio::test]
            async fn many_crashes_use_nothing_up() {
                let (service, payments) = service().await;
                for round in 0..30 {
                    let payment = service.post("/payments").key(&format!("k{round}")).body("5");
                    if round == 0 {
                        payment.crash().await;
                    }
                    payment.crash_before_recording().await;
                    payment.twice().await;
                }
                assert_eq!(payments().await.len(), 30);
            }
        }
    };
}

over!(postgres, sqlx::Postgres, cratestack_runtime::PostgresStore, on_postgres);
over!(sqlite, sqlx::Sqlite, cratestack_runtime::SqliteStore, on_sqlite);
