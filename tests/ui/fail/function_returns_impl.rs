use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> Result<impl Sized, GuardError> {
    Ok(order)
}

fn main() {}
