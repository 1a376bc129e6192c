use axum::extract::Request;
use axum::http::Method;
use cratestack_runtime::idempotent;

#[idempotent]
async fn pay(_: Request, _: Method) {}

fn main() {}
