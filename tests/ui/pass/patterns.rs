#![deny(warnings)]

use axum::Json;
use axum::extract::Path;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: u64,
    lines: Vec<u32>,
}

#[idempotent]
async fn pay(Path((mut id, _)): Path<(u64, u64)>, whole @ Json(CreatePayment { .. }): Json<CreatePayment>) -> String {
    id += 1;
    format!("{id} {} {} {}", whole.id, whole.amount, whole.lines.len())
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
