use cratestack_runtime::{GuardError, idempotent};

#[idempotent(name = "charge", handle = handle, key = order)]
#[test]
async fn charge() -> Result<u64, GuardError> {
    Ok(7)
}

fn main() {}
