use axum::extract::FromRef;
use cratestack_runtime::Idempotency;
use cratestack_runtime::idempotent;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(state = app)]
async fn pay() {}

fn app() {}

fn main() {}
