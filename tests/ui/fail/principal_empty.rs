use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(principal = "")]
async fn pay(user: String) {
    let _ = user;
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
