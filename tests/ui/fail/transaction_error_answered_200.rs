use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

#[idempotent(transaction)]
async fn pay(tx: Tx<Sqlite>) -> Result<String, String> {
    let _ = tx;
    Err("declined".to_owned())
}

fn main() {}
