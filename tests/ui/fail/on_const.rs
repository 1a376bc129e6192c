use cratestack_runtime::idempotent;

#[idempotent]
const PAYMENT: u64 = 1;

fn main() {}
