use cratestack_runtime::idempotent;

#[idempotent]
mod pay {}

fn main() {}
