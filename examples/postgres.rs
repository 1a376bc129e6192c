//! What a handler writes and its answer are one commit: `DATABASE_URL=postgres://… cargo run --example postgres`.

use axum::{Router, http::StatusCode, response, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use sqlx::{PgPool, Postgres, query_scalar, raw_sql};

/// Whatever becomes of this process, either both the row and the answer that is replayed are there or neither is.
#[idempotent(transaction)]
async fn pay(mut tx: Tx<Postgres>, amount: String) -> Result<(StatusCode, String), Failed> {
    let insert = query_scalar("INSERT INTO payments (amount) VALUES ($1) RETURNING id").bind(&amount);
    let id: i64 = insert.fetch_one(&mut *tx).await?;
    Ok((StatusCode::CREATED, format!("paid {amount}, payment {id}")))
}

/// Its source says whether another try would help. The client is not told of it.
#[derive(Debug, thiserror::Error)]
#[error("nothing was paid")]
struct Failed(#[from] sqlx::Error);

impl response::IntoResponse for Failed {
    fn into_response(self) -> response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = PgPool::connect(&std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to a Postgres")?).await?;
    raw_sql("CREATE TABLE IF NOT EXISTS payments (id BIGSERIAL, amount TEXT NOT NULL)").execute(&pool).await?;
    let store = PostgresStore::new(pool);
    store.migrate().await?;
    let app = Router::new().route("/payments", post(pay)).with_state(Idempotency::transactional(store));
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' -d 5");
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await?)
}
