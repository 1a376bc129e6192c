use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle)]
async fn charge(handle: &Idempotency, _order: u64) -> Result<u64, GuardError> {
    Ok(7)
}

fn main() {}
