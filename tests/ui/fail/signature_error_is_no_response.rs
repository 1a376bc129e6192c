use cratestack_runtime::idempotent;

struct Failure;

#[idempotent]
async fn pay() -> Result<(), Failure> {
    Ok(())
}

fn main() {}
