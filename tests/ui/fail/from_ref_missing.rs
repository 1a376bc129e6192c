use axum::extract::{FromRef, State};
use cratestack_runtime::Idempotency;
use cratestack_runtime::idempotent;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[derive(Clone)]
struct Database;

#[idempotent(state = App)]
async fn pay(_: State<Database>) {}

fn main() {}
