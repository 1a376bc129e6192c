use cratestack_runtime::{GuardError, idempotent};

#[idempotent(name = "nightly", handle = handle, key = order)]
#[tokio::main]
async fn main() -> Result<(), GuardError> {
    Ok(())
}
