use cratestack_runtime::idempotent;

#[idempotent]
thread_local! {}

fn main() {}
