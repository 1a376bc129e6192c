//! A service of two steps, and what the world outside of it has seen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::testing::{Crash, Service, TestStore};
use cratestack_runtime::{Idempotency, MemoryStore, PostgresStore, Reservation, SqliteStore, StepError, idempotent};
use cratestack_tests::TestDatabase;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What becomes of a run between its two steps.
#[derive(Clone)]
pub enum Fate {
    GoesOn,
    Fails,
    Panics,
    Dies(Crash),
    /// It waits for [`World::gate`].
    Stalls,
}

/// An effect of a step's closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub step: &'static str,
    pub attempt: u32,
    pub derived: Uuid,
}

/// Outlives every process.
#[derive(Clone, Default)]
pub struct World {
    effects: Arc<Mutex<Vec<Effect>>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    pub gate: Arc<Gate>,
}

pub struct Gate(pub Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl World {
    /// The fates of the first runs; all others go on.
    pub fn of(fates: impl IntoIterator<Item = Fate>) -> Self {
        Self { fates: Arc::new(Mutex::new(fates.into_iter().collect())), ..Self::default() }
    }

    /// What a step's closure does, and gives: another value each time.
    pub fn has(&self, step: &'static str, reservation: &Reservation) -> String {
        let mut effects = self.effects.lock().unwrap();
        effects.push(Effect { step, attempt: reservation.attempt(), derived: reservation.derive(step) });
        format!("{step} {}", effects.len())
    }

    pub fn effects(&self) -> Vec<Effect> {
        self.effects.lock().unwrap().clone()
    }

    /// Of each effect, which step's it is, and by which attempt.
    pub fn seen(&self) -> Vec<(&'static str, u32)> {
        self.effects().iter().map(|effect| (effect.step, effect.attempt)).collect()
    }

    /// What becomes of this run now.
    pub async fn decides(&self) -> Result<(), Failed> {
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::GoesOn);
        match fate {
            Fate::GoesOn => {}
            Fate::Fails => return Err(Failed("between two steps".to_owned())),
            Fate::Panics => panic!("between two steps"),
            Fate::Dies(crash) => crash.here().await,
            Fate::Stalls => self.gate.0.acquire().await.unwrap().forget(),
        }
        Ok(())
    }
}

/// A handler's own error; it tells what a step says.
#[derive(Debug)]
pub struct Failed(pub String);

impl From<StepError> for Failed {
    fn from(error: StepError) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, self.0).into_response()
    }
}

#[derive(Clone, FromRef)]
pub struct App {
    pub idempotency: Idempotency,
    pub world: World,
}

/// It fails where it is told to before its first step, too.
#[idempotent(record = success)]
async fn order(State(world): State<World>, reservation: Reservation, body: String) -> Result<String, Failed> {
    if body == "fails first" {
        world.decides().await?;
    }
    let charge: String =
        reservation.step("charge", async || Ok::<_, Failed>(world.has("charge", &reservation))).await?;
    world.decides().await?;
    let ship: String = reservation.step("ship", async || Ok::<_, Failed>(world.has("ship", &reservation))).await?;
    Ok(format!("{charge}, {ship}"))
}

/// Any number of steps, and a fate after each.
#[idempotent(record = success)]
async fn many(State(world): State<World>, reservation: Reservation) -> Result<String, Failed> {
    const STEPS: [&str; 4] = ["one", "two", "three", "four"];
    let mut values = Vec::new();
    for step in STEPS {
        values.push(reservation.step(step, async || Ok::<_, Failed>(world.has(step, &reservation))).await?);
        world.decides().await?;
    }
    Ok(values.join(", "))
}

pub fn app(world: &World) -> impl Fn(Idempotency) -> Router + use<> {
    let world = world.clone();
    move |idempotency| {
        Router::new()
            .route("/orders", post(order))
            .route("/many", post(many))
            .with_state(App { idempotency, world: world.clone() })
    }
}

pub fn service<S: TestStore>(store: S, world: &World) -> Service<S> {
    Service::new(store, app(world))
}

pub fn on_memory() -> impl Future<Output = (MemoryStore, ())> {
    std::future::ready((MemoryStore::new(), ()))
}

pub async fn on_sqlite() -> (SqliteStore, (sqlx::SqlitePool, tempfile::TempDir)) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("service.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, (pool, folder))
}

pub async fn on_postgres() -> (PostgresStore, (sqlx::PgPool, TestDatabase)) {
    let database = TestDatabase::create().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    (store, (pool, database))
}

/// Each test, over each store.
#[macro_export]
macro_rules! over_each_store {
    ($($name:ident,)*) => {
        over_each_store!(@ memory, on_memory: $($name,)*);
        over_each_store!(@ sqlite, on_sqlite: $($name,)*);
        over_each_store!(@ postgres, on_postgres: $($name,)*);
    };
    (@ $module:ident, $open:ident: $($name:ident,)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _keep) = $crate::world::$open().await;
                    super::$name(store).await;
                }
            )*
        }
    };
}
