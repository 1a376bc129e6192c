use cratestack_runtime::{GuardError, Idempotency, PostgresStore, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(name = "book", handle = handle, key = entry, transaction, retry = 3)]
async fn book(handle: &Idempotency<PostgresStore>, entry: u64, total: &mut u64, tx: Tx<Postgres>) -> Result<u64, GuardError> {
    *total += 1;
    drop(tx);
    Ok(entry)
}

fn main() {}
