#![deny(warnings)]

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(state = Idempotency)]
async fn pay(_: State<Idempotency>) {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
