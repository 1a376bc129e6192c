//! The smallest service: `cargo run --example smallest`.

use std::{env, io, net::SocketAddr};

use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use serde_json::{Value, json};
use uuid::Uuid;

/// The attribute is all that a handler needs. `id` shows whether it ran again.
#[idempotent]
async fn pay(Json(payment): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"id": Uuid::new_v4(), "amount": payment["amount"]})))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    // The attribute finds this handle in the router's state.
    let idempotency = Idempotency::new(MemoryStore::new());
    let app = Router::new().route("/payments", post(pay)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' --json '{{\"amount\": 5}}'");
    // A caller without credentials is its address, which axum must then be asked for.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
