use axum::Json;
use cratestack_runtime::idempotent;

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: u64,
    amount: f64,
}

#[idempotent(key = drop(request.id))]
async fn pay(Json(request): Json<CreatePayment>) {
    drop((request.id, request.amount));
}

fn main() {}
