use cratestack_runtime::idempotent;

#[idempotent]
const PAY: u8 = 1;

fn main() {}
