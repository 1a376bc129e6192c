use axum::extract::State;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(handle)]
async fn pay(State(handle): State<Idempotency>) {
    let _ = handle;
}

fn main() {}
