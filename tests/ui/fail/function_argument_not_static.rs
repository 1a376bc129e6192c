use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge<T: Send>(handle: Idempotency, order: u64, value: T) -> Result<u64, GuardError> {
    drop(value);
    Ok(order)
}

fn main() {}
