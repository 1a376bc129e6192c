use axum::Json;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(key = {
    *amount += 1;
    *amount
})]
async fn pay(Json(mut amount): Json<u64>) {
    amount += 1;
    let _ = amount;
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
