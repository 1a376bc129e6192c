use cratestack_runtime::idempotent;

#[tokio::main]
#[idempotent]
async fn main() {}
