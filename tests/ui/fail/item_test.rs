use cratestack_runtime::idempotent;

#[idempotent]
#[test]
async fn pay() {}

fn main() {}
