use std::rc::Rc;
use cratestack_runtime::idempotent;

#[idempotent]
fn pay() -> impl Future<Output = ()> {
    let total = Rc::new(1);
    async move {
        std::future::ready(()).await;
        drop(total);
    }
}

fn main() {}
