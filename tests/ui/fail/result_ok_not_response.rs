use axum::http::StatusCode;
use cratestack_runtime::idempotent;

struct Payment {
    amount: u64,
}

#[idempotent]
async fn pay() -> Result<Payment, StatusCode> {
    Ok(Payment { amount: 1 })
}

fn main() {}
