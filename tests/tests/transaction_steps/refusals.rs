//! What a transaction step has to say of what its closure did, on Postgres; and what a handler is told whose type asks
//! for what its handle has not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, Tx, idempotent};
use sqlx::{PgPool, Postgres, Sqlite};
use tower::ServiceExt as _;

use crate::world::{Failed, World, on_postgres, sqlite_pool};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<PostgresStore>,
    any: Idempotency,
    runs: Arc<std::sync::atomic::AtomicUsize>,
}

/// The closure of its step is the body's statements.
async fn run(reservation: &Reservation<Postgres>, statements: String) -> Result<String, Failed> {
    let run = async |tx: &mut Tx<Postgres>| {
        for statement in statements.split(';') {
            // As if each were in a savepoint that somebody forgot.
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut **tx).await;
            if !statement.contains("ignored") {
                done?;
            }
        }
        Ok::<_, Failed>(())
    };
    reservation.transaction("run", run).await?;
    Ok("done".to_owned())
}

#[idempotent]
async fn statements(
    State(runs): State<Arc<std::sync::atomic::AtomicUsize>>,
    reservation: Reservation<Postgres>,
    statements: String,
) -> Result<String, Failed> {
    runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    run(&reservation, statements).await
}

/// It runs also where its key cannot be reserved: a plain step and one in a transaction.
#[idempotent(on_store_error = run)]
async fn anyway(reservation: Reservation<Postgres>) -> Result<String, Failed> {
    let plain: u32 = reservation.step("plain", async || Ok::<_, Failed>(7)).await?;
    run(&reservation, "INSERT INTO orders (charge, attempt) VALUES ('anyway', 0)".to_owned()).await?;
    Ok(format!("{plain} {}", reservation.attempt()))
}

async fn service() -> (Service<PostgresStore>, PgPool, impl Sized) {
    let (pool, keep) = on_postgres::database().await;
    let service = Service::transactional(PostgresStore::new(pool.clone()), |idempotency| {
        let app = App { any: idempotency.clone().into(), idempotency, runs: Arc::default() };
        Router::new()
            .route("/statements", post(statements))
            .route("/anyway", post(anyway))
            .route("/hidden", post(hidden))
            .route("/elsewhere", post(elsewhere))
            .route("/stepped", post(stepped))
            .with_state(app)
    });
    (service, pool, keep)
}

const WRITE: &str = "INSERT INTO orders (charge, attempt) VALUES ('c', 1)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_committed_is_refused_and_says_why() {
    let (service, pool, _keep) = service().await;
    let deferred = "ALTER TABLE orders ADD UNIQUE (charge) DEFERRABLE INITIALLY DEFERRED";
    sqlx::raw_sql(deferred).execute(&pool).await.unwrap();
    let other = "CREATE SCHEMA other; CREATE TABLE other.cratestack_idempotency (LIKE cratestack_idempotency)";
    sqlx::raw_sql(other).execute(&pool).await.unwrap();
    let refusals = [
        // A constraint that is looked at by the commit.
        (format!("{WRITE};{WRITE}"), "cannot be committed and was rolled back", "duplicate key"),
        // A statement that failed, of which the closure tells nothing.
        (format!("{WRITE};SELECT 1/0 AS ignored"), "cannot be committed and was rolled back", "statement"),
        (format!("{WRITE};SET search_path TO other"), "was rolled back", "search_path"),
        (format!("{WRITE};RESET ALL"), "was rolled back", "RESET ALL"),
        (format!("{WRITE};ROLLBACK"), "ended its transaction", "COMMIT or ROLLBACK"),
    ];
    for (index, (statements, what, why)) in refusals.into_iter().enumerate() {
        let request = service.post("/statements").key(&format!("k{index}")).body(statements.clone());
        let refused = request.send().await;
        assert!(refused.text().contains(what) && refused.text().contains(why), "{statements}: {}", refused.text());
        assert!(on_postgres::orders(&pool).await.is_empty(), "{statements}");
    }
    let committed = service.post("/statements").key("fine").body(WRITE).send().await;
    assert_eq!(committed.text(), "done", "connections are as they were");
    assert_eq!(on_postgres::orders(&pool).await, [1]);
}

/// It may not meet the same again, so the key is free; the response does not tell why it failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_were_in_each_others_way_are_rolled_back_and_may_be_tried_again() {
    let (service, pool, _keep) = service().await;
    sqlx::raw_sql(
        "CREATE SEQUENCE tries;
        CREATE FUNCTION in_the_way() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') % 2 = 1 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure'; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.charge = 'late') EXECUTE FUNCTION in_the_way();
        CREATE TRIGGER at_once AFTER INSERT ON orders
            FOR EACH ROW WHEN (NEW.charge = 'at once') EXECUTE FUNCTION in_the_way()",
    )
    .execute(&pool)
    .await
    .unwrap();
    // By the commit, which the step tells of; and in the closure, whose error hides it.
    for (charge, told) in [("late", "the transaction step `run` was rolled back: "), ("at once", "the database: ")] {
        let write = format!("INSERT INTO orders (charge, attempt) VALUES ('{charge}', 1)");
        let request = service.post("/statements").key(&charge.replace(' ', "-")).body(write);
        let rolled_back = request.send().await;
        assert!(rolled_back.text().starts_with(told) && rolled_back.text().contains("in the way"), "{rolled_back:?}");
        let again = request.send().await;
        assert_eq!((again.text(), again.is_replay()), ("done", false));
    }
    assert_eq!(on_postgres::orders(&pool).await, [1, 1]);
}

/// Nothing is recorded, and the transaction is one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_reserved_steps_are_done_and_not_recorded() {
    let (service, pool, _keep) = service().await;
    sqlx::raw_sql("ALTER TABLE cratestack_idempotency RENAME TO elsewhere").execute(&pool).await.unwrap();
    for run in 1..=2 {
        assert_eq!(service.post("/anyway").key("k1").send().await.text(), "7 0");
        assert_eq!(on_postgres::orders(&pool).await.len(), run);
    }
}

type Hidden = Reservation<Postgres>;
type Elsewhere = Reservation<Sqlite>;
type Stepped = Reservation;

/// Its handle has forgotten the store's type; the store is one of Postgres.
#[idempotent]
async fn hidden(reservation: Hidden) -> Result<String, Failed> {
    run(&reservation, WRITE.to_owned()).await
}

#[idempotent]
async fn elsewhere(reservation: Elsewhere) -> String {
    reservation.key().to_owned()
}

#[idempotent(transaction)]
async fn stepped(reservation: Stepped, _: Tx<Postgres>) -> String {
    reservation.key().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_an_alias_hides_is_looked_at_when_the_request_comes() {
    let (service, pool, _keep) = service().await;
    assert_eq!(service.post("/hidden").key("k1").send().await.text(), "done");
    assert_eq!(on_postgres::orders(&pool).await, [1]);
    for path in ["/elsewhere", "/stepped"] {
        let refused = service.post(path).key("k2").send().await;
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(refused.problem_code().as_deref(), Some("idempotency_no_reservation"), "{path}");
    }
}

/// A store that is shared by an `Arc` is that store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_behind_an_arc_is_found() {
    let (pool, _keep) = on_postgres::database().await;
    let store = Arc::new(PostgresStore::new(pool.clone()));
    let app = Router::new().route("/hidden", post(hidden)).with_state(Idempotency::new(store));
    let request = axum::http::Request::post("/hidden").header("authorization", "Bearer alice");
    let request = request.header("idempotency-key", "k1").body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
    assert_eq!(on_postgres::orders(&pool).await, [1]);
}

/// On both databases, the reservation of a transaction tells what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_in_a_transaction_tells_and_derives() {
    #[idempotent(transaction)]
    async fn tells(reservation: Reservation<InTransaction>, _: Tx<Sqlite>) -> String {
        format!(
            "{} {} {}",
            reservation.key(),
            reservation.attempt(),
            reservation.derive("x") == reservation.derive("x")
        )
    }
    let (pool, _keep) = sqlite_pool().await;
    let store = SqliteStore::new(pool);
    store.migrate().await.unwrap();
    let service = Service::transactional(store, |idempotency| {
        #[derive(Clone, FromRef)]
        struct App(Idempotency<SqliteStore>);
        Router::new().route("/tells", post(tells)).with_state(App(idempotency))
    });
    assert_eq!(service.post("/tells").key("k1").send().await.text(), "k1 1 true");
    let _ = World::default();
}
