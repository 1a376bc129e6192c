use cratestack_runtime::idempotent;

struct Pay;

#[idempotent]
impl Pay {}

fn main() {}
