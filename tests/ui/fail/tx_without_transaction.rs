use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

#[idempotent]
async fn pay(tx: Tx<Sqlite>) {
    let _ = tx;
}

fn main() {}
