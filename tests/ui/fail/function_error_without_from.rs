use cratestack_runtime::{Idempotency, idempotent};

struct Declined;

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> Result<u64, Declined> {
    Ok(order)
}

fn main() {}
