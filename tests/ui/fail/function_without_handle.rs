use cratestack_runtime::{GuardError, idempotent};

#[idempotent(name = "charge", key = order)]
async fn charge(order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
