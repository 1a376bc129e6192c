use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay(_: &str) {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
