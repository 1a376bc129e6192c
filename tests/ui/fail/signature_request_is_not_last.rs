use cratestack_runtime::idempotent;

use axum::extract::Request;
use axum::http::Method;

#[idempotent]
async fn pay(_: Request, _: Method) {}

fn main() {}
