use axum::Json;
use cratestack_runtime::idempotent;

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: f64,
}

#[idempotent(key = request.id)]
async fn pay(_: Json<CreatePayment>) {
    let _: fn(CreatePayment) = |request| drop((request.id, request.amount));
}

fn main() {}
