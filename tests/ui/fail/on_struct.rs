use cratestack_runtime::idempotent;

#[idempotent]
struct Payment;

fn main() {}
