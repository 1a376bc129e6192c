use axum::Json;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay() {
    Json(1)
}

fn main() {}
