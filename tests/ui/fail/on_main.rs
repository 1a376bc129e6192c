use cratestack_runtime::idempotent;

#[idempotent]
#[tokio::main]
async fn main() {}
