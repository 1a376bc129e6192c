use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay<'a>(_: &'a str) {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
