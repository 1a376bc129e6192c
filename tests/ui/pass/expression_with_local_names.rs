#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(key = {
    let mut body = body.len();
    body += 1;
    body
})]
async fn pay(body: String) -> String {
    body
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
