use axum::extract::{FromRef, State};
use cratestack_runtime::Idempotency;
use cratestack_runtime::idempotent;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[derive(Clone)]
struct Other;

#[idempotent(state = App)]
async fn pay(_: State<App>, _: State<Other>) {}

fn main() {}
