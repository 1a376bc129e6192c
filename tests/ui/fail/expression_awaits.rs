use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(key = look_up(&body).await)]
async fn pay(body: String) {
    let _ = body;
}

async fn look_up(body: &str) -> &str {
    body
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
