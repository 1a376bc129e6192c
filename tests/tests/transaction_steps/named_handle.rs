//! A `Reservation` of a database beside `handle = …`, on a router without a state: the handle, and with it the store that
//! the steps are transactions of, is known only after arguments have been extracted.

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::testing::{Crash, Service};
use cratestack_runtime::{Idempotency, MemoryStore, PostgresStore, Reservation, SqliteStore, Tx, idempotent};
use sqlx::{Postgres, Sqlite};

use crate::world::{Failed, Fate, World};

macro_rules! over {
    ($module:ident, $shop:ident, $database:ty, $store:ty) => {
        mod $module {
            use super::*;
            use crate::world::$shop::{database, ordered, orders};

            #[idempotent(handle = handle, record = success)]
            async fn leading(
                reservation: Reservation<$database>,
                Extension(handle): Extension<Idempotency<$store>>,
                Extension(world): Extension<World>,
                _: String,
            ) -> Result<String, Failed> {
                let _ = handle;
                ordered(&world, &reservation).await
            }

            #[idempotent(handle = handle, record = success, optional, state = ())]
            async fn last(
                Extension(handle): Extension<Idempotency<$store>>,
                Extension(world): Extension<World>,
                reservation: Option<Reservation<$database>>,
            ) -> Result<String, Failed> {
                let _ = handle;
                match reservation {
                    Some(reservation) => ordered(&world, &reservation).await,
                    None => Ok("unguarded".to_owned()),
                }
            }

            /// Behind this name the macro sees no database.
            type Orders = Reservation<$database>;

            #[idempotent(handle = plain, record = success)]
            async fn hidden(
                reservation: Orders,
                Extension(plain): Extension<Idempotency>,
                Extension(world): Extension<World>,
                _: String,
            ) -> Result<String, Failed> {
                let _ = plain;
                ordered(&world, &reservation).await
            }

            #[idempotent(handle = plain, record = success)]
            async fn hidden_last(
                Extension(plain): Extension<Idempotency>,
                Extension(world): Extension<World>,
                reservation: Orders,
            ) -> Result<String, Failed> {
                let _ = plain;
                ordered(&world, &reservation).await
            }

            type Steps = Reservation;

            #[idempotent(transaction, handle = handle)]
            async fn steps_in_transaction(
                steps: Steps,
                tx: Tx<$database>,
                Extension(handle): Extension<Idempotency<$store>>,
                Extension(world): Extension<World>,
            ) -> StatusCode {
                world.has("ran", steps.attempt(), steps.derive("ran"));
                drop((tx, handle));
                StatusCode::OK
            }

            fn routes(world: &World) -> Router {
                Router::new()
                    .route("/leading", post(leading))
                    .route("/last", post(last))
                    .route("/hidden", post(hidden))
                    .route("/hidden-last", post(hidden_last))
                    .route("/steps-in-transaction", post(steps_in_transaction))
                    .layer(Extension(world.clone()))
            }

            fn service(pool: &sqlx::Pool<$database>, world: &World) -> Service<$store> {
                let routes = routes(world);
                Service::transactional(<$store>::new(pool.clone()), move |handle| {
                    let plain: Idempotency = handle.clone().into();
                    routes.clone().layer(Extension(handle)).layer(Extension(plain))
                })
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn each_step_is_done_once_over_all_attempts() {
                for path in ["/leading", "/last", "/hidden", "/hidden-last"] {
                    let (pool, _keep) = database().await;
                    let world = World::of([
                        ("written", Fate::Dies(Crash::once())),
                        ("booked", Fate::Dies(Crash::once())),
                        ("shipped", Fate::Fails),
                    ]);
                    let service = service(&pool, &world);
                    let order = service.post(path).key("k1");
                    for committed in [0, 1] {
                        order.crash().await;
                        assert_eq!(orders(&pool).await.len(), committed, "{path}");
                        service.lease_is_over().await;
                    }
                    assert_eq!(order.send().await.text(), "told to fail: shipped", "{path}");
                    let [first, again] = order.twice().await;
                    assert_eq!((first.status(), again.is_replay()), (StatusCode::OK, true), "{path}");
                    assert_eq!(orders(&pool).await, [2], "{path}");
                    let seen = [("charge", 1), ("book", 1), ("book", 2), ("ship", 3), ("ship", 4)];
                    assert_eq!(world.seen(), seen, "{path}");
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn without_a_key_there_may_be_no_reservation() {
                let (pool, _keep) = database().await;
                let service = service(&pool, &World::default());
                assert_eq!(service.post("/last").send().await.text(), "unguarded");
                let refused = service.post("/leading").send().await;
                assert_eq!(refused.problem_code().as_deref(), Some("idempotency_key_missing"));
                assert!(orders(&pool).await.is_empty());
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_handle_over_another_store_is_refused_before_anything_is_reserved() {
                let world = World::default();
                let routes = routes(&world);
                let service = Service::new(MemoryStore::new(), move |plain| routes.clone().layer(Extension(plain)));
                for path in ["/hidden", "/hidden-last"] {
                    for _ in 0..2 {
                        let refused = service.post(path).key("k1").send().await;
                        assert_eq!(refused.problem_code().as_deref(), Some("idempotency_no_reservation"), "{path}");
                    }
                }
                assert!(world.seen().is_empty());
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_hidden_reservation_with_steps_is_refused_in_a_transaction() {
                let (pool, _keep) = database().await;
                let world = World::default();
                let service = service(&pool, &world);
                let refused = service.post("/steps-in-transaction").key("k1").send().await;
                assert_eq!(refused.problem_code().as_deref(), Some("idempotency_no_reservation"));
                assert!(world.seen().is_empty());
            }
        }
    };
}

over!(postgres, on_postgres, Postgres, PostgresStore);
over!(sqlite, on_sqlite, Sqlite, SqliteStore);
