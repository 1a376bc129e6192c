use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay<T: Send>(State(part): State<T>) {
    drop(part);
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay::<Idempotency>));
}
