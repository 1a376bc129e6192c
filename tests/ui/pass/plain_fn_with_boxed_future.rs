#![deny(warnings)]
//! A `fn` that returns a named future.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::http::StatusCode;
use std::future::Future;
use std::pin::Pin;
#[idempotent]
fn pay() -> Pin<Box<dyn Future<Output = &'static str> + Send>> {
    Box::pin(async { "paid" })
}

#[idempotent]
fn ready() -> std::future::Ready<StatusCode> {
    unreachable!()
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).route("/1", post(ready)).with_state(Idempotency::new(MemoryStore::new()));
}
