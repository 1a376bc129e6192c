#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay() {}

#[idempotent()]
async fn refund() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(refund));
}
