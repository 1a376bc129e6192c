#![deny(warnings)]
//! The handle alone is the state.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::State;
#[idempotent]
async fn pay(State(_): State<Idempotency>) {}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
