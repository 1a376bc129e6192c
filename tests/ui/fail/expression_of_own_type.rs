use axum::Json;
use cratestack_runtime::idempotent;

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: f64,
}

#[idempotent(key = request)]
async fn pay(Json(request): Json<CreatePayment>) {
    drop((request.id, request.amount));
}

fn main() {}
