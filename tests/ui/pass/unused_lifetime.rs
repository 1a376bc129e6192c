#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[allow(clippy::extra_unused_lifetimes)]
#[idempotent]
async fn pay<'a>(body: String) -> String {
    body
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
