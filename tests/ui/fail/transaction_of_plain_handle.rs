use axum::extract::FromRef;
use cratestack_runtime::{Idempotency, Tx, idempotent};
use sqlx::Sqlite;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(transaction, state = App)]
async fn pay(tx: Tx<Sqlite>) {
    let _ = tx;
}

fn main() {}
