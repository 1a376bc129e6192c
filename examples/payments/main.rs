//! A service that takes payments, each of them once.
//!
//! ```text
//! cargo run --example payments
//! ```
//!
//! Its page at `/` is a shop where one can click twice, hang up and crash the service, and see what each costs under
//! four handlers; `/guarantees` is what is promised. It also prints `curl` lines to try. `settings.rs` has what the
//! environment can set, `keys.rs` the keys in Valkey or Redis, `caller.rs` who a request comes from, `trouble.rs` what
//! can be made to go wrong, `variations.rs` other ways to say `#[idempotent]`.

mod caller;
mod error;
mod keys;
mod ledger;
mod page;
mod settings;
mod supervise;
mod trouble;
mod variations;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRef, Path, Query, State},
    http::{HeaderName, Method, StatusCode, Uri, header::LOCATION},
    routing::{get, post},
};
use cratestack_runtime::{Idempotency, PostgresStore, SqliteStore, idempotent};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::{
    error::ApiError,
    ledger::{Ledger, Payment},
    page::{Events, Shop, Transactions},
    settings::{Database, Settings},
    trouble::Trouble,
};

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
    ledger: Ledger,
}

/// How `#[idempotent]` finds its store.
impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idempotency.clone()
    }
}

#[derive(Deserialize)]
struct CreatePayment {
    /// In minor units: 1200 is 12.00 EUR.
    amount: i64,
    currency: String,
}

/// The query makes trouble on purpose and is no part of the payment, so it need not be the same on a retry.
#[idempotent(fingerprint = (request.amount, request.currency))]
async fn create_payment(
    State(app): State<App>,
    Query(trouble): Query<Trouble>,
    Json(request): Json<CreatePayment>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Payment>), ApiError> {
    if request.amount <= 0 {
        return Err(ApiError::AmountNotPositive(request.amount));
    }
    trouble.before_the_effect().await?;
    let payment = app.ledger.insert(request.amount, &request.currency).await?;
    trouble.after_the_effect();
    let location = format!("/payments/{}", payment.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(payment)))
}

async fn list_payments(State(app): State<App>) -> Result<Json<Vec<Payment>>, ApiError> {
    Ok(Json(app.ledger.all().await?))
}

async fn get_payment(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Payment>, ApiError> {
    app.ledger.get(&id).await?.map(Json).ok_or(ApiError::NotFound)
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    ApiError::NoRoute(method, uri)
}

async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    // Handles that know their store, for handlers that write in its transactions; of one kind for all others.
    let (ledger, reader, transactions, beside_ledger) = match &settings.database {
        Database::Sqlite(options) => {
            let pool = ledger::open_sqlite(options).await?;
            let store = SqliteStore::new(pool.clone());
            store.migrate().await?;
            let handle = Idempotency::transactional(store).lease(settings.lease).principal(caller::of);
            let reader = Ledger::Sqlite(ledger::read_sqlite(options));
            (Ledger::Sqlite(pool), reader, Transactions::Sqlite(handle.clone()), Idempotency::from(handle))
        }
        Database::Postgres(options) => {
            let pool = ledger::open_postgres(options).await?;
            let store = PostgresStore::new(pool.clone());
            store.migrate().await?;
            let handle = Idempotency::transactional(store).lease(settings.lease).principal(caller::of);
            let ledger = Ledger::Postgres(pool);
            (ledger.clone(), ledger, Transactions::Postgres(handle.clone()), Idempotency::from(handle))
        }
    };
    let sweeper = beside_ledger.sweep_every(Duration::from_secs(300));
    // What has no transaction can have its keys elsewhere, in a store that needs no sweeper.
    let idempotency = match &settings.redis {
        Some(redis) => Idempotency::new(redis.open().await?).lease(settings.lease).principal(caller::of),
        None => beside_ledger.clone(),
    };
    let router = Router::new()
        .route("/payments", post(create_payment).get(list_payments))
        .route("/payments/{id}", get(get_payment))
        .merge(variations::routes())
        .with_state(App { idempotency: idempotency.clone(), ledger: ledger.clone() });
    let events = Events::new();
    let keys = settings.redis.as_ref().map(keys::Redis::name);
    let shop = Shop::open(idempotency.clone(), ledger, reader, events.clone(), keys).await?;
    let router = router.merge(page::routes(shop, transactions)).fallback(no_route);

    let listener = settings.listen().await?;
    settings::announce(listener.local_addr()?);
    // With the peer's address, which `caller.rs` looks at.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let end = async move {
        settings::told_to_stop().await;
        events.close();
    };
    axum::serve(listener, service).with_graceful_shutdown(end).await?;
    // Handlers whose clients have hung up are still at work.
    let patience = Duration::from_secs(30);
    tokio::join!(idempotency.shutdown(patience), beside_ledger.shutdown(patience));
    sweeper.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (error, code) = match Settings::from_env() {
        Err(wrong) => (wrong, 2),
        Ok(settings) if settings.supervise => match supervise::run().await {
            Ok(code) => return code,
            Err(failed) => (format!("cannot start the service as a process of its own: {failed}"), 1),
        },
        Ok(settings) => match run(settings).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failed) => (failed.to_string(), 1),
        },
    };
    eprintln!("{error}");
    ExitCode::from(code)
}
