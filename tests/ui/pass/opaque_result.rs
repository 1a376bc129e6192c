#![deny(warnings)]
//! `impl IntoResponse` on both sides of a `Result`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::StatusCode;
use axum::response::IntoResponse;
#[idempotent]
async fn pay(fail: String) -> Result<impl IntoResponse, impl IntoResponse> {
    if fail.is_empty() { Ok("paid") } else { Err(StatusCode::BAD_REQUEST) }
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
