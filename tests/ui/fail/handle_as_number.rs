use cratestack_runtime::idempotent;

#[idempotent(handle = 7)]
async fn pay() {}

fn main() {}
