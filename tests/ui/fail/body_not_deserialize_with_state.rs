use axum::Json;
use axum::extract::FromRef;
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
async fn pay(Json(request): Json<CreatePayment>) {
    let _ = request.amount;
}

fn main() {}
