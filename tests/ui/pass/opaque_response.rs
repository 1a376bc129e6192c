#![deny(warnings)]

use axum::response::IntoResponse;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay() -> impl IntoResponse {
    "paid"
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
