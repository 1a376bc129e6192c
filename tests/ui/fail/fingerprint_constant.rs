use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(fingerprint = 7)]
async fn pay(body: String) {
    let _ = body;
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
