use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge-the-customer-for-the-order-that-was-placed-at-the-counter-x", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
