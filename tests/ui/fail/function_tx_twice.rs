use cratestack_runtime::{GuardError, Idempotency, PostgresStore, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(name = "book", handle = handle, key = entry, transaction)]
async fn book(handle: &Idempotency<PostgresStore>, entry: u64, tx: Tx<Postgres>, more: Tx<Postgres>) -> Result<u64, GuardError> {
    drop((tx, more));
    Ok(entry)
}

fn main() {}
