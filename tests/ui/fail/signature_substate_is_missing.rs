use cratestack_runtime::idempotent;

use axum::extract::{FromRef, State};
use cratestack_runtime::Idempotency;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[derive(Clone)]
struct Mailer;

#[idempotent(state = App)]
async fn pay(State(_): State<Mailer>) {}

fn main() {}
