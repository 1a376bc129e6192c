use cratestack_runtime::idempotent;

#[idempotent(state = App)]
async fn pay() {}

fn main() {}
