use cratestack_runtime::idempotent;

#[idempotent]
#[tokio::test]
async fn pay() {}

fn main() {}
