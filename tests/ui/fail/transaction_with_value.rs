use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(transaction = Postgres)]
async fn pay() {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
