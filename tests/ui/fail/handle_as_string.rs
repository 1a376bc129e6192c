use axum::extract::State;
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(handle = "app.idempotency")]
async fn pay(State(app): State<App>) {
    let _ = app.idempotency;
}

fn main() {}
