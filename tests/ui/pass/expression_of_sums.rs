#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(key = body.len() + 1, fingerprint = !body.is_empty() && body.len() > 3)]
async fn pay(body: String) -> String {
    body
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
