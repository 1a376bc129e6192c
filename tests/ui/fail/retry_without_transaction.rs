use cratestack_runtime::idempotent;

#[idempotent(retry = 3)]
async fn pay() {}

fn main() {}
