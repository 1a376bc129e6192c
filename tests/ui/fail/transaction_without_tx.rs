use cratestack_runtime::idempotent;

#[idempotent(transaction)]
async fn pay(amount: String) -> String {
    amount
}

fn main() {}
