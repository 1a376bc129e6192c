use cratestack_runtime::{GuardError, idempotent};

#[idempotent(name = "nightly", handle = handle, key = 7)]
#[tokio::main]
async fn main() -> Result<(), GuardError> {
    Ok(())
}
