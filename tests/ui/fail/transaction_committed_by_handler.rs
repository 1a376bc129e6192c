use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction)]
async fn pay(tx: Tx<Postgres>) -> &'static str {
    match tx.commit().await {
        Ok(()) => "paid",
        Err(_) => "failed",
    }
}

fn main() {}
