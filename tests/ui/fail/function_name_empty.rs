use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
