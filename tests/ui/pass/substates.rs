#![deny(warnings)]
//! Several parts of one state.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::{FromRef, State};
#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
    limit: u64,
}

#[idempotent(state = App)]
async fn pay(State(name): State<&'static str>, State(limit): State<u64>, State(_): State<App>) -> String {
    format!("{name} {limit}")
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(App { idempotency: Idempotency::new(MemoryStore::new()), name: "a", limit: 1 });
}
