use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, on_store_error = run)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
