use std::rc::Rc;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay() {
    let total = Rc::new(1);
    std::future::ready(()).await;
    drop(total);
}

fn main() {}
