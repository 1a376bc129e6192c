#![deny(warnings)]
//! What is `Send` may be held across an await.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

#[idempotent]
async fn pay(body: String) -> String {
    let length = body.len();
    std::future::ready(()).await;
    tokio::task::yield_now().await;
    format!("{length}")
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
