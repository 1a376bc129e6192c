#![deny(warnings)]
//! A const parameter.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

#[idempotent]
async fn pay<const LIMIT: usize>(body: String) -> String {
    body.chars().take(LIMIT).collect()
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay::<3>)).with_state(Idempotency::new(MemoryStore::new()));
}
