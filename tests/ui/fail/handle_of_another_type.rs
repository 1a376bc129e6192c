use axum::extract::State;
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(handle = app)]
async fn pay(State(app): State<App>, body: String) {
    let _ = (app.idempotency, body);
}

fn main() {}
