//! What a handler writes and its answer are one commit: `DATABASE_URL=postgres://… cargo run --example postgres`.

use std::{env, error::Error, net::SocketAddr};

use axum::{Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use sqlx::{PgPool, Postgres};

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS payments (id BIGINT GENERATED ALWAYS AS IDENTITY, amount TEXT NOT NULL)";

/// Whatever becomes of this process, either both the row and the answer that is replayed are there or neither is.
#[idempotent(transaction)]
async fn pay(mut tx: Tx<Postgres>, amount: String) -> Result<(StatusCode, String), StatusCode> {
    let insert = sqlx::query_scalar("INSERT INTO payments (amount) VALUES ($1) RETURNING id").bind(&amount);
    let id: i64 = insert.fetch_one(&mut *tx).await.map_err(|error| {
        eprintln!("{error}"); // for the log, not for the client; an error undoes what was written
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok((StatusCode::CREATED, format!("paid {amount}, payment {id}")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PgPool::connect(&env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to a Postgres")?).await?;
    sqlx::raw_sql(TABLE).execute(&pool).await?;
    let store = PostgresStore::new(pool);
    store.migrate().await?;
    let app = Router::new().route("/payments", post(pay)).with_state(Idempotency::transactional(store));

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' -d 5");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
