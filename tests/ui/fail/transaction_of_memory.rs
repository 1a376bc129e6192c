use cratestack_runtime::{Idempotency, MemoryStore};

fn main() {
    let _ = Idempotency::transactional(MemoryStore::new());
}
