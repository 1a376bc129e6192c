use axum::Json;
use cratestack_runtime::idempotent;

struct Payment {
    amount: u64,
}

#[idempotent]
async fn pay() -> Json<Payment> {
    Json(Payment { amount: 1 })
}

fn main() {}
