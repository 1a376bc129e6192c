#![deny(warnings)]
//! Any irrefutable pattern, `mut` too.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
#[idempotent]
async fn pay(
    Path((mut a, _)): Path<(u32, u32)>,
    mut headers: HeaderMap,
    Json([first, ..]): Json<[u8; 3]>,
) -> String {
    a += 1;
    headers.clear();
    format!("{a} {first}")
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
