use cratestack_runtime::idempotent;

#[idempotent(transaction)]
async fn pay(body: String) {
    let _ = body;
}

fn main() {}
