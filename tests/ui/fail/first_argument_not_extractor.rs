use axum::extract::FromRef;
use axum::http::Method;
use cratestack_runtime::Idempotency;
use cratestack_runtime::idempotent;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

struct CreatePayment {
    amount: u64,
}

#[idempotent(state = App)]
async fn pay(request: CreatePayment, _: Method) {
    let _ = request.amount;
}

fn main() {}
