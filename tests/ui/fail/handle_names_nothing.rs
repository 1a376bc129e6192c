use cratestack_runtime::idempotent;

#[idempotent(handle = idempotency)]
async fn pay(body: String) {
    let _ = body;
}

fn main() {}
