//! A service whose handlers can be held while they run, in two dialects: JSON as the example's, and forms as Stripe's.
//!
//! It says its address on its first line and ends with its standard input. The environment sets it up:
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | the SQLite file of ledger and records |
//! | `PORT` | where to listen; `0` picks a free port |
//! | `WAITS` | `1`: a duplicate of a running payment waits for its outcome |
//! | `SHAPE` | `stripe`: problems look like Stripe's errors |

mod payments;
mod stripe;
mod trouble;
mod uploads;

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::{get, post};
use cratestack_runtime::{Idempotency, SqliteStore};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::trouble::Gate;

#[derive(Clone)]
struct Till {
    idempotency: Idempotency,
    transactions: Idempotency<SqliteStore>,
    ledger: SqlitePool,
    gate: Gate,
}

impl FromRef<Till> for Idempotency {
    fn from_ref(till: &Till) -> Self {
        till.idempotency.clone()
    }
}

impl FromRef<Till> for Idempotency<SqliteStore> {
    fn from_ref(till: &Till) -> Self {
        till.transactions.clone()
    }
}

impl FromRef<Till> for Gate {
    fn from_ref(till: &Till) -> Self {
        till.gate.clone()
    }
}

/// How often anything took effect.
async fn effects(State(till): State<Till>) -> String {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM effects").fetch_one(&till.ledger).await.unwrap_or(-1);
    count.to_string()
}

fn routes() -> Router<Till> {
    let waits = env::var("WAITS").is_ok_and(|value| value == "1");
    let router = if waits {
        Router::new()
            .route("/payments", post(payments::pay_and_wait))
            .route("/v1/payment_intents", post(stripe::create_and_wait))
    } else {
        Router::new().route("/payments", post(payments::pay)).route("/v1/payment_intents", post(stripe::create))
    };
    router
        .merge(payments::unpacked())
        .route("/bytes", post(payments::keep))
        .route("/uploads", post(uploads::receipt))
        .route("/uploads/by-field", post(uploads::receipt_by_field))
        .route("/effects", get(effects))
        .merge(trouble::routes())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file: SqliteConnectOptions = env::var("DATABASE_URL")?.parse()?;
    let ledger = SqlitePool::connect_with(file.create_if_missing(true).journal_mode(SqliteJournalMode::Wal)).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS effects (entry INTEGER PRIMARY KEY, what TEXT NOT NULL)")
        .execute(&ledger)
        .await?;
    let store = SqliteStore::new(ledger.clone());
    store.migrate().await?;
    let transactions = Idempotency::transactional(store);
    let idempotency = Idempotency::from(transactions.clone());
    let till = Till { idempotency, transactions, ledger, gate: Gate::default() };
    let app = routes().with_state(till);
    let app = if env::var("SHAPE").is_ok_and(|shape| shape == "stripe") { stripe::shaped(app) } else { app };

    let port: u16 = env::var("PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let (mut lifeline, mut nothing) = (tokio::io::stdin(), [0]);
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        // Whoever started it is gone, or wants it to stop.
        _ = lifeline.read(&mut nothing) => {}
    }
    // A read of standard input would keep the runtime from ending.
    std::process::exit(0);
}
