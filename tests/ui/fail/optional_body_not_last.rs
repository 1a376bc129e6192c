use axum::Json;
use axum::http::Method;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(_: Option<Json<u64>>, _: Method) {}

fn main() {}
