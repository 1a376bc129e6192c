use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: f64) -> Result<u64, GuardError> {
    drop(order);
    Ok(7)
}

fn main() {}
