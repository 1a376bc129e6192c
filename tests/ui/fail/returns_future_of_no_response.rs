use cratestack_runtime::idempotent;

struct Payment {
    amount: u64,
}

#[idempotent]
fn pay() -> std::future::Ready<Payment> {
    std::future::ready(Payment { amount: 1 })
}

fn main() {}
