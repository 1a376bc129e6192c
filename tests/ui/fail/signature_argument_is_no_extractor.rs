use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(confirmed: bool) {
    let _ = confirmed;
}

fn main() {}
