use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(handle = Idempotency)]
async fn pay() {}

fn main() {}
