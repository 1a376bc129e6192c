use cratestack_runtime::idempotent;

#[idempotent]
trait Shop {
    async fn pay();
}

fn main() {}
