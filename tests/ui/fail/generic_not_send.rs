use axum::extract::State;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay<T>(State(part): State<T>) {
    std::future::ready(()).await;
    drop(part);
}

fn main() {}
