use axum::Json;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(_: String, _: Json<u64>) {}

fn main() {}
