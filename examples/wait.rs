//! A duplicate waits for the one that runs: `cargo run --example wait`.

use std::{env, io, net::SocketAddr, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use serde_json::{Value, json};
use uuid::Uuid;

/// Without `wait`, a duplicate of a running request is told 409 at once, and few clients retry that by themselves.
#[idempotent(wait = "10s")]
async fn pay(Json(payment): Json<Value>) -> (StatusCode, Json<Value>) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    (StatusCode::CREATED, Json(json!({"id": Uuid::new_v4(), "amount": payment["amount"]})))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let idempotency = Idempotency::new(MemoryStore::new());
    let app = Router::new().route("/payments", post(pay)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend both at once, in two terminals:");
    for _ in 0..2 {
        println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' --json '{{\"amount\": 5}}'");
    }
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
