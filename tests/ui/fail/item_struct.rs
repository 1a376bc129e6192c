use cratestack_runtime::idempotent;

#[idempotent]
struct Pay;

fn main() {}
