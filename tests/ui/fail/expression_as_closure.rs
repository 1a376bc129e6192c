use axum::Json;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: f64,
}

#[idempotent(key = |request| request.id)]
async fn pay(Json(request): Json<CreatePayment>) {
    drop((request.id, request.amount));
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
