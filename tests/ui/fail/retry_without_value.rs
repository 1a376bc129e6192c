use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, retry)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
