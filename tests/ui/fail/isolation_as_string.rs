use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, isolation = "serializable")]
async fn pay(_: Tx<Postgres>) {}

fn main() {}
