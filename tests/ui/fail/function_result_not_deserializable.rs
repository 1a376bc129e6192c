use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[derive(serde::Serialize)]
struct Receipt;

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64) -> Result<Receipt, GuardError> {
    drop(order);
    Ok(Receipt)
}

fn main() {}
