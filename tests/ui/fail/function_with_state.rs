use cratestack_runtime::{GuardError, Idempotency, idempotent};

struct App;

#[idempotent(name = "charge", handle = handle, key = order, state = App)]
async fn charge(handle: &Idempotency, order: u64) -> Result<u64, GuardError> {
    Ok(order)
}

fn main() {}
