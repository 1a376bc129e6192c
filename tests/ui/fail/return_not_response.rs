use cratestack_runtime::idempotent;

struct Payment {
    amount: u64,
}

#[idempotent]
async fn pay() -> Payment {
    Payment { amount: 1 }
}

fn main() {}
