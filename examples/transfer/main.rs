//! Moves money between two accounts, once for each key: `cargo run --example transfer`.

use axum::{Json, Router, extract::FromRef, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use serde::Deserialize;
use sqlx::{Sqlite, sqlite::SqlitePool};

#[derive(Clone, FromRef)]
struct Bank {
    idempotency: Idempotency<SqliteStore>,
}

#[derive(Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u32,
}

/// Both updates and the recorded answer are committed together, or none of them is.
#[idempotent(transaction)]
async fn transfer(mut tx: Tx<Sqlite>, Json(order): Json<Transfer>) -> Result<String, (StatusCode, String)> {
    let broken = |error: sqlx::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE name = $2")
        .bind(order.amount)
        .bind(&order.to)
        .execute(&mut *tx)
        .await
        .map_err(broken)?;
    let taken = sqlx::query("UPDATE accounts SET balance = balance - $1 WHERE name = $2 AND balance >= $1")
        .bind(order.amount)
        .bind(&order.from)
        .execute(&mut *tx)
        .await
        .map_err(broken)?;
    if taken.rows_affected() == 0 {
        // An error undoes what was written above.
        return Err((StatusCode::CONFLICT, format!("{} has not got {}", order.from, order.amount)));
    }
    Ok(format!("{} has sent {} to {}", order.from, order.amount, order.to))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePool::connect("sqlite://bank.db?mode=rwc").await?;
    let accounts = "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL);
        INSERT OR IGNORE INTO accounts VALUES ('alice', 100), ('bob', 100)";
    sqlx::raw_sql(accounts).execute(&pool).await?;
    let store = SqliteStore::new(pool);
    store.migrate().await?;
    let bank = Bank { idempotency: Idempotency::transactional(store) };
    let app = Router::new().route("/transfers", post(transfer)).with_state(bank);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;
    Ok(())
}
