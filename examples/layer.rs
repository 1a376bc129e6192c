//! A router whose handlers are not annotated: `cargo run --example layer`.

use std::{env, io, net::SocketAddr};

use axum::{Json, Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
use serde_json::{Value, json};
use uuid::Uuid;

async fn pay(Json(payment): Json<Value>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(json!({"id": Uuid::new_v4(), "amount": payment["amount"]})))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let layer = IdempotencyLayer::new(Idempotency::new(MemoryStore::new()))
        // What has no key would pass unguarded.
        .require_key()
        .only(|request| request.uri.path().starts_with("/payments"));
    let app = Router::new().route("/payments", post(pay)).layer(layer);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this twice, then with another amount:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' --json '{{\"amount\": 5}}'");
    // A caller without credentials is its address, which axum must then be asked for.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
