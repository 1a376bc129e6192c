use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(amount: u64) {
    let _ = amount;
}

fn main() {}
