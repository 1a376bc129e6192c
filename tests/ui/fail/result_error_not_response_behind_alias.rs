use cratestack_runtime::idempotent;

struct PaymentError;

type Outcome<T> = Result<T, PaymentError>;

#[idempotent]
async fn pay() -> Outcome<String> {
    Err(PaymentError)
}

fn main() {}
