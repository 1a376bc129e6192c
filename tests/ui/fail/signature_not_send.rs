use cratestack_runtime::idempotent;

use std::rc::Rc;

#[idempotent]
async fn pay() {
    let held = Rc::new(1);
    std::future::ready(()).await;
    drop(held);
}

fn main() {}
