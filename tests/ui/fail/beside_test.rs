use cratestack_runtime::idempotent;

#[idempotent]
#[test]
fn pay() {}

fn main() {}
