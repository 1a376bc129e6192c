use cratestack_runtime::idempotent;

#[idempotent]
async fn pay() -> u64 {
    1
}

fn main() {}
