use axum::http::Method;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(amount: u64, _: Method) {
    let _ = amount;
}

fn main() {}
