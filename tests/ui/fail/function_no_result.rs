use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> u64 {
    order
}

fn main() {}
