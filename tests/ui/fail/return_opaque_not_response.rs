use cratestack_runtime::idempotent;

#[idempotent]
async fn pay() -> impl std::fmt::Display {
    "paid"
}

fn main() {}
