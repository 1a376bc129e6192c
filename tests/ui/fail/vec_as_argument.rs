use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(amounts: Vec<u64>) {
    let _ = amounts;
}

fn main() {}
