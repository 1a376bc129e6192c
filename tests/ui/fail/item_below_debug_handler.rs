use axum::http::Method;
use cratestack_runtime::{Idempotency, idempotent};

#[axum::debug_handler(state = Idempotency)]
#[idempotent]
async fn pay(_: Method, body: String) -> String {
    body
}

fn main() {}
