use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent]
async fn pay(_: Tx<Postgres>, _: String) {}

fn main() {}
