#![deny(warnings)]
//! Path parameters, by tuple and by name.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::Path;
use serde::Deserialize;
#[derive(Deserialize)]
struct Ids {
    shop: u32,
}

#[idempotent]
async fn a(Path((_, _)): Path<(u32, String)>) {}
#[idempotent]
async fn b(Path(Ids { shop }): Path<Ids>) -> String {
    shop.to_string()
}

fn main() {
    let _: Router = Router::new().route("/0", post(a)).route("/1", post(b)).with_state(Idempotency::new(MemoryStore::new()));
}
