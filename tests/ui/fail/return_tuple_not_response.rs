use axum::http::StatusCode;
use cratestack_runtime::idempotent;

struct Payment {
    amount: u64,
}

#[idempotent]
async fn pay() -> (StatusCode, Payment) {
    (StatusCode::CREATED, Payment { amount: 1 })
}

fn main() {}
