//! A service that charges at a provider, books in its database and ships, and what the world outside of it has seen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cratestack_runtime::StepError;
use cratestack_runtime::testing::Crash;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

/// What becomes of a run at a place on its way.
#[derive(Clone)]
pub enum Fate {
    GoesOn,
    Fails,
    Panics,
    Dies(Crash),
    /// It tells of it by [`World::arrived`], and waits for [`World::gate`].
    Stalls,
    Sleeps(Duration),
}

/// What was done, in which attempt, and with which derived key.
type Effect = (&'static str, u32, Uuid);

/// Outlives every process.
#[derive(Clone, Default)]
pub struct World {
    effects: Arc<Mutex<Vec<Effect>>>,
    fates: Arc<Mutex<VecDeque<(&'static str, Fate)>>>,
    pub arrived: Arc<Notify>,
    pub gate: Arc<Gate>,
}

pub struct Gate(pub Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl World {
    /// The fates that runs meet at these places, in this order.
    pub fn of(fates: impl IntoIterator<Item = (&'static str, Fate)>) -> Self {
        Self { fates: Arc::new(Mutex::new(fates.into_iter().collect())), ..Self::default() }
    }

    /// An effect of a step outside of the database.
    pub fn has(&self, step: &'static str, attempt: u32, derived: Uuid) {
        self.effects.lock().unwrap().push((step, attempt, derived));
    }

    /// Which step's each effect is, and by which attempt.
    pub fn seen(&self) -> Vec<(&'static str, u32)> {
        self.effects.lock().unwrap().iter().map(|(step, attempt, _)| (*step, *attempt)).collect()
    }

    pub fn derived(&self, step: &str) -> Vec<Uuid> {
        self.effects.lock().unwrap().iter().filter(|effect| effect.0 == step).map(|effect| effect.2).collect()
    }

    /// What becomes of this run here.
    pub async fn meets(&self, place: &'static str) -> Result<(), Failed> {
        let fate = {
            let mut fates = self.fates.lock().unwrap();
            let is_here = fates.front().is_some_and(|(next, _)| *next == place);
            if is_here { fates.pop_front().unwrap().1 } else { Fate::GoesOn }
        };
        match fate {
            Fate::GoesOn => {}
            Fate::Fails => return Err(Failed(format!("told to fail: {place}"))),
            Fate::Panics => panic!("told to panic: {place}"),
            Fate::Dies(crash) => crash.here().await,
            Fate::Stalls => {
                self.arrived.notify_one();
                self.gate.0.acquire().await.unwrap().forget();
            }
            Fate::Sleeps(time) => tokio::time::sleep(time).await,
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

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(format!("the database: {error}"))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, self.0).into_response()
    }
}

pub async fn sqlite_pool() -> (sqlx::SqlitePool, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("service.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    (pool, folder)
}

pub async fn postgres_pool() -> (sqlx::PgPool, cratestack_tests::TestDatabase) {
    let database = cratestack_tests::TestDatabase::create().await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(8).connect(database.url()).await.unwrap();
    (pool, database)
}

/// Sends an order again and again, as a client does that gets no answer, until there is one.
pub async fn order_until_done(router: &axum::Router, key: &str) {
    use tower::ServiceExt as _;
    loop {
        let request = axum::http::Request::post("/orders")
            .header("authorization", "Bearer alice")
            .header("idempotency-key", key)
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        if answer.status() == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same service over a database.
macro_rules! shop {
    ($name:ident: $database:ty, $store:ty, $pool:ident, $serial:literal) => {
        pub mod $name {
            use axum::Router;
            use axum::extract::{FromRef, State};
            use axum::routing::post;
            use cratestack_runtime::testing::Service;
            use cratestack_runtime::{Idempotency, Reservation, Tx, idempotent};
            use sqlx::{Connection as _, Pool};

            use super::{Failed, World};

            #[derive(Clone, FromRef)]
            pub struct App {
                pub idempotency: Idempotency<$store>,
                pub world: World,
            }

            /// Which attempt wrote each order that is committed.
            pub async fn orders(pool: &Pool<$database>) -> Vec<i32> {
                sqlx::query_scalar("SELECT attempt FROM orders ORDER BY entry").fetch_all(pool).await.unwrap()
            }

            /// A pool whose database has the tables, and what keeps it there.
            pub async fn database() -> (Pool<$database>, impl Sized) {
                let (pool, keep) = super::$pool().await;
                create(&pool).await;
                (pool, keep)
            }

            pub async fn create(pool: &Pool<$database>) {
                <$store>::new(pool.clone()).migrate().await.unwrap();
                let orders = concat!("CREATE TABLE orders (entry ", $serial, ", charge TEXT, attempt INT)");
                sqlx::raw_sql(orders).execute(pool).await.unwrap();
            }

            pub fn router(idempotency: Idempotency<$store>, world: World) -> Router {
                Router::new()
                    .route("/orders", post(order))
                    .route("/short", post(short))
                    .route("/ends", post(ends))
                    .route("/leaks", post(leaks))
                    .route("/nested", post(nested))
                    .route("/twice", post(twice))
                    .route("/large", post(large))
                    .route("/joined", post(joined))
                    .route("/dropped", post(dropped))
                    .route("/perhaps", post(perhaps))
                    .with_state(App { idempotency, world })
            }

            pub fn service(pool: &Pool<$database>, world: &World) -> Service<$store> {
                let world = world.clone();
                let build = move |idempotency| router(idempotency, world.clone());
                Service::transactional(<$store>::new(pool.clone()), build)
            }

            async fn write(tx: &mut Tx<$database>, charge: &str, attempt: u32) -> Result<i64, Failed> {
                let insert = "INSERT INTO orders (charge, attempt) VALUES ($1, $2) RETURNING CAST(entry AS BIGINT)";
                let insert = sqlx::query_scalar(insert).bind(charge.to_owned()).bind(attempt.cast_signed());
                Ok(insert.fetch_one(&mut **tx).await?)
            }

            /// A step within the transaction, which fails while `world` lets it.
            async fn book(
                world: &World,
                reservation: &Reservation<$database>,
                name: &str,
                charge: &str,
            ) -> Result<i64, Failed> {
                let book = async |tx: &mut Tx<$database>| {
                    let entry = write(tx, charge, reservation.attempt()).await?;
                    world.has("book", reservation.attempt(), reservation.derive("book"));
                    world.meets("written").await?;
                    Ok::<_, Failed>(entry)
                };
                reservation.transaction(name, book).await
            }

            fn charge(world: &World, reservation: &Reservation<$database>) -> Result<String, Failed> {
                let derived = reservation.derive("charge");
                world.has("charge", reservation.attempt(), derived);
                Ok(format!("ch_{derived}"))
            }

            pub async fn ordered(world: &World, reservation: &Reservation<$database>) -> Result<String, Failed> {
                let charge = reservation.step("charge", async || charge(world, reservation)).await?;
                world.meets("charged").await?;
                let entry = book(world, reservation, "book", &charge).await?;
                world.meets("booked").await?;
                let ship = async || {
                    world.has("ship", reservation.attempt(), reservation.derive("ship"));
                    world.meets("shipped").await
                };
                reservation.step("ship", ship).await?;
                Ok(format!("{entry}"))
            }

            #[idempotent(record = success)]
            async fn order(
                State(world): State<World>,
                reservation: Reservation<$database>,
                _: String,
            ) -> Result<String, Failed> {
                ordered(&world, &reservation).await
            }

            #[idempotent(lease = "300ms")]
            async fn short(State(world): State<World>, reservation: Reservation<$database>) -> Result<String, Failed> {
                ordered(&world, &reservation).await
            }

            /// Ends its transaction by a statement, which no type can see.
            #[idempotent]
            async fn ends(reservation: Reservation<$database>) -> Result<String, Failed> {
                let ends = async |tx: &mut Tx<$database>| {
                    write(tx, "ends", 1).await?;
                    sqlx::raw_sql("COMMIT").execute(&mut **tx).await?;
                    Ok::<_, Failed>(())
                };
                reservation.transaction("ends", ends).await?;
                Ok("ended".to_owned())
            }

            /// Never ends a transaction within its own.
            #[idempotent]
            async fn leaks(reservation: Reservation<$database>) -> Result<String, Failed> {
                let leaks = async |tx: &mut Tx<$database>| {
                    let mut inner = tx.begin().await?;
                    sqlx::query("INSERT INTO orders (charge) VALUES ('leaked')").execute(&mut *inner).await?;
                    std::mem::forget(inner);
                    Ok::<_, Failed>(())
                };
                reservation.transaction("leaks", leaks).await?;
                Ok("leaked".to_owned())
            }

            #[idempotent]
            async fn nested(reservation: Reservation<$database>, inner: String) -> Result<String, Failed> {
                let outer = async |tx: &mut Tx<$database>| {
                    write(tx, "outer", 1).await?;
                    if inner == "plain" {
                        reservation.step("inner", async || Ok::<_, Failed>(())).await
                    } else {
                        reservation.transaction("inner", async |tx| write(tx, "inner", 1).await.map(drop)).await
                    }
                };
                reservation.transaction("outer", outer).await?;
                Ok("nested".to_owned())
            }

            #[idempotent]
            async fn twice(State(world): State<World>, reservation: Reservation<$database>) -> Result<String, Failed> {
                book(&world, &reservation, "book", "first").await?;
                book(&world, &reservation, "book", "second").await?;
                Ok("twice".to_owned())
            }

            /// A value that is too large to be recorded.
            #[idempotent]
            async fn large(reservation: Reservation<$database>) -> Result<String, Failed> {
                let large = async |tx: &mut Tx<$database>| {
                    write(tx, "large", 1).await?;
                    Ok::<_, Failed>("x".repeat(1 << 20))
                };
                reservation.transaction("large", large).await
            }

            /// Three steps at once, two of them in transactions, with values that are nothing.
            #[idempotent]
            async fn joined(State(world): State<World>, reservation: Reservation<$database>) -> Result<String, Failed> {
                let plain = reservation.step("plain", async || Ok::<_, Failed>(None::<u32>));
                let one = book(&world, &reservation, "one", "one");
                let two = reservation.transaction("two", async |tx| write(tx, "two", 1).await.map(drop));
                let (plain, one, two) = tokio::join!(plain, one, two);
                let (plain, one, ()) = (plain?, one?, two?);
                Ok(format!("{plain:?} {}", one > 0))
            }

            /// Gives a step up halfway, and does another one.
            #[idempotent]
            async fn dropped(
                State(world): State<World>,
                reservation: Reservation<$database>,
            ) -> Result<String, Failed> {
                tokio::select! {
                    biased;
                    given_up = book(&world, &reservation, "given up", "given up") => drop(given_up?),
                    () = world.arrived.notified() => {}
                }
                book(&world, &reservation, "book", "done").await.map(|_| "dropped".to_owned())
            }

            #[idempotent(optional)]
            async fn perhaps(
                State(world): State<World>,
                reservation: Option<Reservation<$database>>,
            ) -> Result<String, Failed> {
                match reservation {
                    Some(reservation) => ordered(&world, &reservation).await,
                    None => Ok("unguarded".to_owned()),
                }
            }
        }
    };
}

shop!(on_postgres: sqlx::Postgres, cratestack_runtime::PostgresStore, postgres_pool,
    "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
shop!(on_sqlite: sqlx::Sqlite, cratestack_runtime::SqliteStore, sqlite_pool, "INTEGER PRIMARY KEY");
