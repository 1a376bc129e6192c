use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(body_limit = 99999999999)]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
