use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

#[idempotent(transaction)]
fn pay(tx: Tx<Sqlite>) -> impl Future<Output = Result<String, &'static str>> + Send {
    let _ = tx;
    async { Err("declined") }
}

fn main() {}
