use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order, record = all)]
async fn charge(handle: &Idempotency, order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
