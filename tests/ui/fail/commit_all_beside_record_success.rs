use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, commit = all, record = success)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
