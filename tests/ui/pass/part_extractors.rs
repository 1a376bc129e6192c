#![deny(warnings)]
//! Extractors that leave the body alone.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::Extension;
use axum::extract::{Query, RawQuery};
use axum::http::{HeaderMap, Method, Uri};
#[idempotent]
async fn pay(_: Method, _: Uri, _: HeaderMap, _: Extension<u8>, _: Query<Vec<(String, String)>>, _: RawQuery) {}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
