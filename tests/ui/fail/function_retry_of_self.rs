use cratestack_runtime::{GuardError, Idempotency, PostgresStore, Tx, idempotent};
use sqlx::Postgres;

struct Worker {
    handle: Idempotency<PostgresStore>,
}

impl Worker {
    #[idempotent(name = "book", handle = self.handle, key = entry, transaction, retry = 3)]
    async fn book(self, entry: u64, tx: Tx<Postgres>) -> Result<u64, GuardError> {
        drop(tx);
        Ok(entry)
    }
}

fn main() {}
