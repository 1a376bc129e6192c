#![deny(warnings)]

use axum::extract::Path;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(serde::Deserialize)]
struct Ids {
    shop: u32,
}

#[idempotent]
async fn by_place(Path((_, _)): Path<(u32, String)>) {}

#[idempotent]
async fn by_name(Path(Ids { shop }): Path<Ids>) -> String {
    shop.to_string()
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(by_place)).route("/1", post(by_name));
}
