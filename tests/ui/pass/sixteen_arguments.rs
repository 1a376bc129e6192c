#![deny(warnings)]
//! As many as axum takes.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::Method;
#[idempotent]
#[allow(clippy::too_many_arguments)]
async fn pay(
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
) {
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
