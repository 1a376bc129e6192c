#![deny(warnings)]
//! A `fn` that returns a future.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use std::future::Future;
#[idempotent]
fn pay(body: String) -> impl Future<Output = String> + Send {
    async move { body }
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
