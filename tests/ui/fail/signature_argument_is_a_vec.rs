use cratestack_runtime::idempotent;

use axum::Json;

#[idempotent]
async fn pay(amounts: Vec<u64>, Json(_): Json<u64>) {
    let _ = amounts;
}

fn main() {}
