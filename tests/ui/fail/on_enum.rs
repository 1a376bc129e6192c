use cratestack_runtime::idempotent;

#[idempotent]
enum Payment {}

fn main() {}
