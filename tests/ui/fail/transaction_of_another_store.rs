use axum::extract::FromRef;
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use sqlx::Postgres;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<SqliteStore>,
}

#[idempotent(transaction, state = App)]
async fn pay(_: Tx<Postgres>, _: String) {}

fn main() {}
