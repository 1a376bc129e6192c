use cratestack_runtime::idempotent;

trait Shop {
    #[idempotent]
    async fn pay();
}

fn main() {}
