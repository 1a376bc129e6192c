use axum::response::IntoResponse;
use cratestack_runtime::idempotent;

struct PaymentError;

#[idempotent]
async fn pay() -> Result<impl IntoResponse, PaymentError> {
    if true { Ok(()) } else { Err(PaymentError) }
}

fn main() {}
