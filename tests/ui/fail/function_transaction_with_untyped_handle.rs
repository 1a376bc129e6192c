use cratestack_runtime::{GuardError, Idempotency, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(name = "book", handle = handle, key = entry, transaction)]
async fn book(handle: &Idempotency, entry: u64, tx: Tx<Postgres>) -> Result<u64, GuardError> {
    drop(tx);
    Ok(entry)
}

fn main() {}
