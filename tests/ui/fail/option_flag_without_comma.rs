use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(optional ttl = "24h")]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
