use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction)]
async fn pay(_: Tx<Postgres>, _: Tx<Postgres>) {}

fn main() {}
