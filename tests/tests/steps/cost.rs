//! What steps take of a Postgres server: one statement each, with commits that they share; a look at what is recorded
//! where there was an attempt before; and nothing of a handler that has none.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, PostgresStore, Reservation, idempotent};
use cratestack_tests::TestDatabase;
use cratestack_tests::postgres::{PostgresOptions, PostgresServer};
use sqlx::postgres::PgPoolOptions;

use crate::world::{App, Failed, Fate, World, app};

struct Log {
    server: PostgresServer,
    database: TestDatabase,
    seen: usize,
}

impl Log {
    async fn start() -> (Self, PostgresStore) {
        let server = PostgresOptions::new().log_statements().start().await;
        let database = TestDatabase::create_on(&server).await;
        let pool = PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
        let store = PostgresStore::new(pool);
        store.migrate().await.unwrap();
        let seen = server.statements().len();
        (Self { server, database, seen }, store)
    }

    /// The statements on the table since the last look, each by what it does.
    fn since(&mut self) -> Vec<&'static str> {
        let statements = self.server.statements().split_off(self.seen);
        self.seen += statements.len();
        let of_the_table = statements.into_iter().filter(|statement| {
            statement.database == self.database.name()
                && statement.text.contains("cratestack_idempotency")
                // About once a second a process looks at the mark of a removal, beside the requests.
                && !statement.text.contains("key = 'forgotten'")
        });
        let named = of_the_table.map(|statement| {
            let text = statement.text.trim_start();
            match text {
                _ if text.starts_with("WITH live AS") || text.starts_with("WITH asked AS") => "reserve",
                _ if text.starts_with("SELECT steps") => "look",
                _ if text.contains("SET steps = CASE") => "step",
                _ if text.starts_with("WITH lapsed AS") => "release",
                _ if text.contains("response_status = ") => "finish",
                _ => panic!("another statement: {text}"),
            }
        });
        named.collect()
    }
}

#[tokio::test]
async fn a_step_is_one_statement_and_only_a_later_attempt_looks() {
    let (mut log, store) = Log::start().await;
    let world = World::default();
    let service = Service::new(store, app(&world));
    // Past what a pool's first connections say.
    service.post("/orders").key("warm").send().await;
    log.since();

    let order = service.post("/orders").key("k1");
    assert_eq!(order.send().await.status(), StatusCode::OK);
    assert_eq!(log.since(), ["reserve", "step", "step", "finish"]);

    let many = service.post("/many").key("k2");
    assert_eq!(many.send().await.status(), StatusCode::OK);
    assert_eq!(log.since(), ["reserve", "step", "step", "step", "step", "finish"]);

    let fails = World::of([Fate::GoesOn, Fate::Fails]);
    let service = Service::new(service_store(&log).await, app(&fails));
    let many = service.post("/many").key("k3");
    assert_eq!(many.send().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(log.since(), ["reserve", "step", "step", "release"]);
    assert_eq!(many.send().await.status(), StatusCode::OK);
    assert_eq!(log.since(), ["reserve", "look", "step", "step", "finish"]);
}

async fn service_store(log: &Log) -> PostgresStore {
    PostgresStore::new(PgPoolOptions::new().max_connections(4).connect(log.database.url()).await.unwrap())
}

/// It takes a reservation, and makes no step of it.
#[idempotent]
async fn plain(reservation: Reservation) -> String {
    format!("attempt {}", reservation.attempt())
}

#[tokio::test]
async fn a_handler_without_steps_makes_the_statements_of_one_that_has_none() {
    let (mut log, store) = Log::start().await;
    let service = Service::new(store, |idempotency: Idempotency| {
        Router::new().route("/plain", post(plain)).with_state(App { idempotency, world: World::default() })
    });
    service.post("/plain").key("warm").send().await;
    log.since();
    let first = service.post("/plain").key("k1");
    assert_eq!(first.send().await.text(), "attempt 1");
    assert_eq!(log.since(), ["reserve", "finish"]);
    // Also in a second attempt, which has nothing to look for.
    let second = service.post("/plain").key("k2");
    second.crash_before_recording().await;
    service.lease_is_over().await;
    log.seen = log.server.statements().len();
    assert_eq!(second.send().await.text(), "attempt 2");
    assert_eq!(log.since(), ["reserve", "finish"]);
}

const RUNS: usize = 64;
const STEPS: usize = 5;

/// No run begins a step before all have done the one before, so that they come at once.
#[idempotent(record = success)]
async fn together(
    State(world): State<World>,
    Extension(barrier): Extension<std::sync::Arc<tokio::sync::Barrier>>,
    reservation: Reservation,
) -> Result<String, Failed> {
    for n in 0..STEPS {
        barrier.wait().await;
        reservation.step(&n.to_string(), async || Ok::<_, Failed>(world.has("together", &reservation))).await?;
    }
    Ok("done".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_come_at_once_share_their_statements_and_commits() {
    let (mut log, store) = Log::start().await;
    let world = World::default();
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(RUNS));
    let outside = world.clone();
    let service = Service::new(store, move |idempotency: Idempotency| {
        Router::new()
            .route("/together", post(together))
            .layer(Extension(barrier.clone()))
            .with_state(App { idempotency, world: outside.clone() })
    });
    let runs = (0..RUNS).map(|n| {
        let request = service.post("/together").key(&format!("k{n}"));
        async move { request.send().await.status() }
    });
    let statuses = futures_util::future::join_all(runs).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    assert_eq!(world.seen().len(), RUNS * STEPS);
    let statements = log.since();
    let steps = statements.iter().filter(|statement| **statement == "step").count();
    println!("{} steps of {RUNS} runs in {steps} statements, each a commit", RUNS * STEPS);
    assert!((STEPS..RUNS * STEPS / 2).contains(&steps), "{steps} statements for {} steps", RUNS * STEPS);
}
