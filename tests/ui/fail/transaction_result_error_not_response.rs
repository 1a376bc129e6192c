use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

struct PaymentError;

#[idempotent(transaction)]
async fn pay(tx: Tx<Sqlite>) -> Result<String, PaymentError> {
    let _ = tx;
    Err(PaymentError)
}

fn main() {}
