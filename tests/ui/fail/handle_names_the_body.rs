use axum::Json;
use axum::extract::State;
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App {
    tenants: Vec<Idempotency>,
}

#[idempotent(handle = app.tenants[request.0])]
async fn pay(State(app): State<App>, request: Json<usize>) {
    let _ = (app.tenants, request);
}

fn main() {}
