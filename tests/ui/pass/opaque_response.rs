#![deny(warnings)]
//! `impl IntoResponse`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::StatusCode;
use axum::response::IntoResponse;
#[idempotent]
async fn pay() -> impl IntoResponse {
    (StatusCode::CREATED, "paid")
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
