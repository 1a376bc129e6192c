use std::pin::Pin;
use cratestack_runtime::idempotent;

#[idempotent]
fn pay() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async {})
}

fn main() {}
