use cratestack_runtime::idempotent;

struct Worker;

impl Worker {
    #[idempotent(key = order)]
    async fn charge(&self, order: u64) -> String {
        order.to_string()
    }
}

fn main() {}
