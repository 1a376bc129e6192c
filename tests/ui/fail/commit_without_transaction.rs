use cratestack_runtime::idempotent;

#[idempotent(commit = all)]
async fn pay() {}

fn main() {}
