use axum::Form;
use cratestack_runtime::idempotent;

struct CreatePayment {
    amount: u64,
}

#[idempotent]
async fn pay(Form(request): Form<CreatePayment>) {
    let _ = request.amount;
}

fn main() {}
