use cratestack_runtime::idempotent;

use axum::Json;

#[idempotent]
async fn pay(_: String, Json(_): Json<u64>) {}

fn main() {}
