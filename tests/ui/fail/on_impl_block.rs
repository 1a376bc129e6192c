use cratestack_runtime::idempotent;

struct Shop;

#[idempotent]
impl Shop {
    async fn pay() {}
}

fn main() {}
