use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(ttl = "24 h")]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
