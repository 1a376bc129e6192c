#![deny(warnings)]
//! `?` in the body.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::StatusCode;
#[idempotent]
async fn pay(amount: String) -> Result<String, StatusCode> {
    let amount: u64 = amount.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(amount.to_string())
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
