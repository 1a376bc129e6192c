use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(ttl = Duration::from_secs(5))]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
