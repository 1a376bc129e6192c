use cratestack_runtime::idempotent;

struct Receipt;

#[idempotent]
async fn pay() -> Receipt {
    Receipt
}

fn main() {}
