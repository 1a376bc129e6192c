#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(ttl = "24h", lease = "1m 30s", wait = "250ms")]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
