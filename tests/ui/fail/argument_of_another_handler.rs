use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(body: String) {
    refund(body).await;
}

#[idempotent]
async fn refund(body: String) {
    drop(body);
}

fn main() {}
