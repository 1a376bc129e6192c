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
//! | `RESERVES` | `1`: payment intents are made with a reservation, and not in a transaction |

#![forbid(unsafe_code)]

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

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|set| set == value)
}

fn routes() -> Router<Till> {
    let (pay, create) = if is("WAITS", "1") {
        (post(payments::pay_and_wait), post(stripe::create_and_wait))
    } else {
        (post(payments::pay), post(stripe::create))
    };
    let create = if is("RESERVES", "1") { post(stripe::create_reserved) } else { create };
    Router::new()
        .route("/payments", pay)
        .route("/v1/payment_intents", create)
        .route("/bytes", post(payments::keep))
        .route("/uploads", post(uploads::receipt))
        .route("/uploads/by-field", post(uploads::receipt_by_field))
        .route("/effects", get(effects))
        .merge(payments::unpacked())
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
    let transactions = if is("SHAPE", "stripe") { stripe::speak(transactions) } else { transactions };
    let idempotency = Idempotency::from(transactions.clone());
    let till = Till { idempotency, transactions, ledger, gate: Gate::default() };
    let app = routes().with_state(till);

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
