use cratestack_runtime::idempotent;

#[idempotent(isolation = serializable)]
async fn pay() {}

fn main() {}
