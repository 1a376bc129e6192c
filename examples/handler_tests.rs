//! Tests of one's own handlers: `cargo test --example handler_tests`, and `cargo run` serves what they test.

use std::{env, io, net::SocketAddr};

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

#[idempotent]
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

/// `oneshot` needs no listener, and so there is no address: what a caller sends is then who it is.
#[tokio::test]
async fn a_retry_is_replayed() {
    let app = app(Idempotency::new(MemoryStore::new()));
    for is_replay in [false, true] {
        let request = axum::http::Request::post("/payments").header("idempotency-key", "k1");
        let request = request.header("authorization", "Bearer alice").body("5".to_owned()).expect("it is a request");
        let response = tower::ServiceExt::oneshot(app.clone(), request).await.expect("a router always answers");
        assert_eq!(response.headers().contains_key("idempotency-replayed"), is_replay);
    }
}
