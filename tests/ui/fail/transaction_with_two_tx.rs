use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

#[idempotent(transaction)]
async fn pay(first: Tx<Sqlite>, second: Tx<Sqlite>) {
    let _ = (first, second);
}

fn main() {}
