use axum::extract::FromRef;
use cratestack_runtime::{Idempotency, Tx, idempotent};
use sqlx::Postgres;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(transaction, state = App)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
