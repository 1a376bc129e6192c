//! Moves money between two accounts, once for each key: `cargo run --example transfer`.

use std::{collections::BTreeMap, env, error::Error, net::SocketAddr};

use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use sqlx::{Sqlite, SqlitePool};

#[derive(serde::Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u32,
}

type Balances = Json<BTreeMap<String, i64>>;
type Refusal = (StatusCode, &'static str);

/// Both updates and the recorded answer are committed together, or none of them is: an error undoes what was written.
#[idempotent(transaction)]
async fn transfer(mut tx: Tx<Sqlite>, Json(order): Json<Transfer>) -> Result<Balances, Refusal> {
    let broken = |error: sqlx::Error| {
        eprintln!("{error}"); // for the log, not for the client
        (StatusCode::INTERNAL_SERVER_ERROR, "the bank is out of order")
    };
    let amount = i64::from(order.amount);
    for (name, change) in [(order.from, -amount), (order.to, amount)] {
        let update = "UPDATE accounts SET balance = balance + $1 WHERE name = $2 AND balance + $1 >= 0";
        let moved = sqlx::query(update).bind(change).bind(name).execute(&mut *tx).await.map_err(broken)?;
        if moved.rows_affected() == 0 {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "no such account, or not enough in it"));
        }
    }
    let balances = sqlx::query_as("SELECT name, balance FROM accounts").fetch_all(&mut *tx).await.map_err(broken)?;
    Ok(Json(balances.into_iter().collect()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
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
    // A caller without credentials is its address, which axum must then be asked for.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
