#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(optional, record = success, on_store_error = run, body_limit = 65536)]
async fn pay() {}

#[idempotent(record = all, on_store_error = refuse, body_limit = 1_000)]
async fn refund() {}

#[idempotent(record = all_but_5xx)]
async fn deliver() {}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(pay)).route("/1", post(refund)).route("/2", post(deliver));
}
