#![deny(warnings)]
//! `#[axum::debug_handler]` sees the original signature.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::Method;
#[idempotent]
#[axum::debug_handler(state = Idempotency)]
async fn pay(_: Method, _: String) -> &'static str {
    "paid"
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
