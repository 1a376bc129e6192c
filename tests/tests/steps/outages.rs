//! A database that is away when a step is to be recorded, or looked for: the run waits for it, for as long as a lease
//! lasts. What it cannot record, it leaves to the same request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::testing::{Answer, Request, Service};
use cratestack_runtime::{Idempotency, PostgresStore, Reservation, idempotent};
use cratestack_tests::{Proxy, TestDatabase, Way};
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;

use crate::world::{App, Failed, World};

/// Shorter than the lease of the handler that meets it, and longer than that of the other.
const OUTAGE: Duration = Duration::from_millis(2_500);

/// The way to the database, and the effects of a step's closure after which it goes away.
#[derive(Clone)]
struct Weather {
    proxy: Arc<Proxy>,
    way: Way,
    left: Arc<AtomicUsize>,
}

impl Weather {
    /// From now on the database is away, for a while.
    fn changes(&self) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return;
        }
        self.proxy.set(self.way);
        let proxy = Arc::clone(&self.proxy);
        tokio::spawn(async move {
            sleep(OUTAGE).await;
            proxy.set(Way::Open);
        });
    }
}

async fn steps(world: &World, weather: &Weather, reservation: &Reservation, body: &str) -> Result<String, Failed> {
    if body == "looks" && reservation.attempt() > 1 {
        weather.changes();
    }
    let charge = async || {
        let charge = world.has("charge", reservation);
        if body.is_empty() {
            weather.changes();
        }
        Ok::<_, Failed>(charge)
    };
    let charge = reservation.step("charge", charge).await?;
    if body == "stalls" {
        weather.changes();
    }
    if body == "stalls" && reservation.attempt() == 1 {
        sleep(OUTAGE * 3 / 5).await;
    }
    if body == "looks" && reservation.attempt() == 1 {
        return Err(Failed("between two steps".to_owned()));
    }
    let ship = reservation.step("ship", async || Ok::<_, Failed>(world.has("ship", reservation))).await?;
    Ok(format!("{charge}, {ship}"))
}

#[idempotent(record = success, lease = "20s")]
async fn patient(
    State(world): State<World>,
    Extension(weather): Extension<Weather>,
    reservation: Reservation,
    body: String,
) -> Result<String, Failed> {
    steps(&world, &weather, &reservation, &body).await
}

#[idempotent(record = success, lease = "1s")]
async fn hasty(
    State(world): State<World>,
    Extension(weather): Extension<Weather>,
    reservation: Reservation,
    body: String,
) -> Result<String, Failed> {
    steps(&world, &weather, &reservation, &body).await
}

struct Place {
    _database: TestDatabase,
    service: Service<PostgresStore>,
    world: World,
}

async fn place(way: Way) -> Place {
    let database = TestDatabase::create().await;
    let direct = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    PostgresStore::new(direct).migrate().await.unwrap();
    let proxy = Proxy::before(database.url()).await;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_millis(500))
        .connect(proxy.url())
        .await
        .unwrap();
    let weather = Weather { proxy: Arc::new(proxy), way, left: Arc::new(AtomicUsize::new(1)) };
    let world = World::default();
    let outside = world.clone();
    let service = Service::new(PostgresStore::new(pool), move |idempotency: Idempotency| {
        Router::new()
            .route("/patient", post(patient))
            .route("/hasty", post(hasty))
            .layer(Extension(weather.clone()))
            .with_state(App { idempotency, world: outside.clone() })
    });
    Place { _database: database, service, world }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_recorded_once_the_database_is_back() {
    for way in [Way::Cut, Way::Paused] {
        let Place { service, world, .. } = &place(way).await;
        let [first, again] = service.post("/patient").key("k1").twice().await;
        assert_eq!((first.status(), first.text()), (StatusCode::OK, "charge 1, ship 2"), "{way:?}: {first:?}");
        assert_eq!(again.text(), "charge 1, ship 2");
        assert_eq!(world.seen(), [("charge", 1), ("ship", 1)], "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_steps_are_found_once_the_database_is_back() {
    for way in [Way::Cut, Way::Paused] {
        let Place { service, world, .. } = &place(way).await;
        let order = service.post("/patient").key("k1").body("looks");
        assert_eq!(order.send().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        let second = order.send().await;
        assert_eq!((second.status(), second.text()), (StatusCode::OK, "charge 1, ship 2"), "{way:?}: {second:?}");
        assert_eq!(world.seen(), [("charge", 1), ("ship", 2)], "{way:?}");
    }
}

/// It could not renew its lease, which another process may have taken over by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lease_is_over_begins_no_step() {
    let Place { service, world, .. } = &place(Way::Cut).await;
    let order = service.post("/hasty").key("k1").body("stalls");
    let failed = order.send().await;
    assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE, "{failed:?}");
    assert!(failed.text().contains("`ship`") && failed.text().contains("the lease of this one is over"), "{failed:?}");
    assert_eq!(world.seen(), [("charge", 1)]);
    let told = until_told(&order).await;
    assert_eq!(told.text(), "charge 1, ship 2", "{told:?}");
    assert_eq!(world.seen(), [("charge", 1), ("ship", 2)]);
}

/// Asks until the database is back, and nothing runs under the key.
async fn until_told(request: &Request<PostgresStore>) -> Answer {
    const PASSING: [&str; 2] = ["idempotency_store_unavailable", "idempotency_request_in_flight"];
    loop {
        let answer = request.send().await;
        if answer.problem_code().is_none_or(|code| !PASSING.contains(&code.as_str())) {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Longer than the lease. The step was done, so the key is its request's alone; which does it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_cannot_be_recorded_leaves_its_key_to_its_request() {
    let Place { service, world, .. } = &place(Way::Cut).await;
    let order = service.post("/hasty").key("k1");
    let failed = order.send().await;
    assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE, "{failed:?}");
    assert!(failed.text().contains("the step `charge` is not recorded"), "{failed:?}");
    let told = until_told(&order.clone().body("another request")).await;
    assert_eq!(told.problem_code().as_deref(), Some("idempotency_key_conflict"), "{told:?}");
    assert_eq!(until_told(&order).await.text(), "charge 2, ship 3");
    assert_eq!(world.seen(), [("charge", 1), ("charge", 2), ("ship", 2)]);
}
