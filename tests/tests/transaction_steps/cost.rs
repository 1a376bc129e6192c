//! What a transaction step takes of a database: fewer messages than a transaction that claims its key.

use axum::Router;
use axum::extract::FromRef;
use axum::routing::post;
use cratestack_runtime::{Idempotency, IdempotencyStore as _, PostgresStore, Reservation, Tx, idempotent};
use cratestack_tests::TestDatabase;
use cratestack_tests::postgres::RoundTrips;
use sqlx::Postgres;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt as _;

use crate::world::Failed;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<PostgresStore>,
}

/// Any number of transaction steps, of one statement each.
#[idempotent]
async fn books(reservation: Reservation<Postgres>, steps: String) -> Result<String, Failed> {
    for step in 0..steps.len() {
        let book = async |tx: &mut Tx<Postgres>| {
            sqlx::query("INSERT INTO orders VALUES ('c')").execute(&mut **tx).await?;
            Ok::<_, Failed>(())
        };
        reservation.transaction(&format!("book {step}"), book).await?;
    }
    Ok(steps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn around_the_closures_own_there_are_two_statements_and_a_commit() {
    let database = TestDatabase::create().await;
    let proxy = RoundTrips::before(database.url()).await;
    let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = options.connect(proxy.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    // The connection that shows the server's session is opened before anything is counted.
    store.now().await.unwrap();
    sqlx::raw_sql("CREATE TABLE orders (charge TEXT)").execute(&pool).await.unwrap();
    let app = App { idempotency: Idempotency::transactional(store) };
    let router = Router::new().route("/books", post(books)).with_state(app);
    // A pool looks at a connection that comes back.
    let settled = async || {
        while pool.num_idle() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        proxy.count()
    };
    let of = async |key: &str, steps: usize| {
        let before = settled().await;
        let request = axum::http::Request::post("/books").header("authorization", "Bearer alice");
        let request = request.header("idempotency-key", key).body(axum::body::Body::from("s".repeat(steps))).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
        settled().await - before
    };
    let before = settled().await;
    drop(pool.acquire().await.unwrap());
    let ping = settled().await - before;
    // The statements are prepared.
    of("warm", 2).await;
    let (one, three) = (of("one", 1).await, of("three", 3).await);
    // Begin; the closure's own; record; commit.
    assert_eq!(three - one, 2 * (1 + 1 + 1 + 1 + ping));
}
