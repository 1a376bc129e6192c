use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction = Postgres)]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
