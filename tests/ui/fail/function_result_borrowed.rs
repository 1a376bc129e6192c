use cratestack_runtime::{GuardError, Idempotency, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge<'a>(handle: &Idempotency, order: &'a str) -> Result<&'a str, GuardError> {
    Ok(order)
}

fn main() {}
