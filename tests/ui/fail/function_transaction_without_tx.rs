use cratestack_runtime::{GuardError, Idempotency, PostgresStore, idempotent};

#[idempotent(name = "book", handle = handle, key = entry, transaction)]
async fn book(handle: &Idempotency<PostgresStore>, entry: u64) -> Result<u64, GuardError> {
    Ok(entry)
}

fn main() {}
