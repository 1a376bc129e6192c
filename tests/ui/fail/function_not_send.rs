use cratestack_runtime::{GuardError, Idempotency, idempotent};

use std::rc::Rc;

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: Idempotency, order: u64) -> Result<u64, GuardError> {
    let count = Rc::new(order);
    std::future::ready(()).await;
    Ok(*count)
}

fn main() {}
