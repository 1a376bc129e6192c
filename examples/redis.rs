//! Keys lie in Valkey or Redis, and several processes share them: `REDIS_URL=redis://… cargo run --example redis`.

use std::{env, net::SocketAddr};

use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, RedisStore, idempotent};
use serde_json::{Value, json};
use uuid::Uuid;

/// `id` shows whether it ran again, in this process or in another one.
#[idempotent]
async fn pay(Json(payment): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"id": Uuid::new_v4(), "amount": payment["amount"]})))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("REDIS_URL").map_err(|_| "set REDIS_URL to a Valkey or Redis")?;
    // A record is gone when its `ttl` ends, and nothing has to be swept. With `acknowledged_by(1)`, a replica has each
    // before its client is told.
    let store = RedisStore::new(redis::Client::open(url)?);
    let app = Router::new().route("/payments", post(pay)).with_state(Idempotency::new(store));

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' --json '{{\"amount\": 5}}'");
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}
