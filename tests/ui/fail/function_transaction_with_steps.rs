use cratestack_runtime::{GuardError, Idempotency, PostgresStore, Reservation, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(name = "book", handle = handle, key = entry, transaction)]
async fn book(handle: &Idempotency<PostgresStore>, entry: u64, tx: Tx<Postgres>, of: Reservation) -> Result<u64, GuardError> {
    drop((tx, of));
    Ok(entry)
}

fn main() {}
