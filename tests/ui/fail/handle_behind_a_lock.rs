use std::sync::LazyLock;

use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

static SHARED: LazyLock<Idempotency> = LazyLock::new(|| Idempotency::new(MemoryStore::new()));

#[idempotent(handle = SHARED)]
async fn pay(body: String) {
    drop(body);
}

fn main() {}
