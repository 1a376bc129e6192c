use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, commit = errors)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
