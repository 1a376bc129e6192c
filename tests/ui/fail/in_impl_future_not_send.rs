use cratestack_runtime::idempotent;
use std::rc::Rc;

struct Shop<T>(T);

impl<T> Shop<T> {
    #[idempotent]
    async fn pay() {
        let total = Rc::new(1);
        std::future::ready(()).await;
        drop(total);
    }
}

fn main() {}
