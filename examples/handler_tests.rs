//! Tests of one's own handlers: `cargo test --example handler_tests`, and `cargo run` serves what they test.

use std::{env, io, net::SocketAddr};

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

#[idempotent(wait = "10s")]
async fn pay(amount: String) -> String {
    format!("paid {amount} as {}", uuid::Uuid::new_v4())
}

fn app(idempotency: Idempotency) -> Router {
    Router::new().route("/payments", post(pay)).with_state(idempotency)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\ncurl -i http://{address}/payments -H 'Idempotency-Key: k1' -d 5");
    let app = app(Idempotency::new(MemoryStore::new()));
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

#[tokio::test]
async fn a_retry_is_replayed() {
    let service = cratestack_runtime::testing::Service::new(MemoryStore::new(), app);
    service.post("/payments").key("k1").body("5").twice().await;
}

#[tokio::test]
async fn a_crash_is_made_good_once_the_lease_is_over() {
    let service = cratestack_runtime::testing::Service::new(MemoryStore::new(), app);
    service.post("/payments").key("k1").body("5").crash_before_recording().await;
    service.lease_is_over().await;
    service.post("/payments").key("k1").body("5").twice().await;
}
