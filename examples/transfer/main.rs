//! Moves money between two accounts, once for each key: `cargo run --example transfer`.

use std::{collections::BTreeMap, env, error::Error, net::SocketAddr};

use axum::response::{IntoResponse, Response};
use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use sqlx::{Sqlite, SqlitePool};

#[derive(serde::Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u32,
}

/// Both updates and the recorded answer are committed together, or none of them is: an error undoes what was written.
#[idempotent(transaction)]
async fn transfer(mut tx: Tx<Sqlite>, Json(order): Json<Transfer>) -> Result<Json<BTreeMap<String, i64>>, Refusal> {
    let amount = i64::from(order.amount);
    for (name, change) in [(order.from, -amount), (order.to, amount)] {
        let update = "UPDATE accounts SET balance = balance + $1 WHERE name = $2 AND balance + $1 >= 0";
        let moved = sqlx::query(update).bind(change).bind(name).execute(&mut *tx).await?;
        if moved.rows_affected() == 0 {
            return Err(Refusal::Impossible);
        }
    }
    let balances = sqlx::query_as("SELECT name, balance FROM accounts").fetch_all(&mut *tx).await?;
    Ok(Json(balances.into_iter().collect()))
}

/// What the client is told. What the database said is for the log.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no such account, or not enough in it")]
    Impossible,
    #[error("the bank is out of order")]
    Database(#[from] sqlx::Error),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Impossible => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        eprintln!("{self:?}");
        (status, self.to_string()).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init(); // where the library says what is wrong, and how to mend it
    let pool = SqlitePool::connect("sqlite://bank.db?mode=rwc").await?;
    let accounts = "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL);
        INSERT OR IGNORE INTO accounts VALUES ('alice', 100), ('bob', 100)";
    sqlx::raw_sql(accounts).execute(&pool).await?;
    let store = SqliteStore::new(pool);
    store.migrate().await?;
    // The attribute finds this handle in the router's state.
    let idempotency = Idempotency::transactional(store);
    let app = Router::new().route("/transfers", post(transfer)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount, then with another key:");
    let order = r#"{"from": "alice", "to": "bob", "amount": 5}"#;
    println!("curl -i http://{address}/transfers -H 'Idempotency-Key: t1' --json '{order}'");
    // Here a caller is an IP address, which axum tells with `connect_info`. With users, say `principal = user.id`.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
