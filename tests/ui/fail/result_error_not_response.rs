use cratestack_runtime::idempotent;

struct PaymentError;

#[idempotent]
async fn pay() -> Result<String, PaymentError> {
    Err(PaymentError)
}

fn main() {}
