use axum::Json;
use cratestack_runtime::idempotent;

struct CreatePayment {
    amount: u64,
}

#[idempotent]
async fn pay(Json(request): Json<CreatePayment>) {
    let _ = request.amount;
}

fn main() {}
