use axum::extract::State;
use cratestack_runtime::{Idempotency, PostgresStore, idempotent};

#[derive(Clone)]
struct App {
    idempotency: Idempotency<PostgresStore>,
}

#[idempotent(transaction, handle = app.idempotency)]
async fn pay(State(app): State<App>, body: String) {
    let _ = (app.idempotency, body);
}

fn main() {}
