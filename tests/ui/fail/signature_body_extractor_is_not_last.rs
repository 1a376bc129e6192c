use cratestack_runtime::idempotent;

use axum::Json;
use axum::http::HeaderMap;

#[idempotent]
async fn pay(Json(_): Json<u64>, _: HeaderMap) {}

fn main() {}
