//! The key is in the body: `cargo run --example body_key`.

use std::{env, io};

use axum::{Json, Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
struct Event {
    id: String,
    amount: u32,
}

/// A webhook whose sender knows no header of ours. An event's id is the sender's own, whichever address it calls from,
/// and only the amount must be the same when the event is delivered again.
#[idempotent(key = event.id, principal = "stripe", fingerprint = event.amount)]
async fn webhook(Json(event): Json<Event>) -> String {
    format!("booked {} as {}", event.amount, Uuid::new_v4())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let idempotency = Idempotency::new(MemoryStore::new());
    let app = Router::new().route("/events", post(webhook)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nThe same event, delivered twice; then one that reuses its id:");
    println!("curl -i http://{address}/events --json '{{\"id\": \"evt_1\", \"amount\": 5}}'");
    println!("curl -i http://{address}/events --json '{{\"sent\": \"again\", \"amount\": 5, \"id\": \"evt_1\"}}'");
    println!("curl -i http://{address}/events --json '{{\"id\": \"evt_1\", \"amount\": 6}}'");
    axum::serve(listener, app).await
}
