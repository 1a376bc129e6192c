use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = order, key = order)]
async fn charge(_handle: &Idempotency, order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
