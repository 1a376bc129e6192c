use axum::http::Method;
use cratestack_runtime::idempotent;

#[axum::debug_handler]
#[idempotent]
async fn pay(_: Method, _: String) {}

fn main() {}
