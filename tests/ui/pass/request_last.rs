#![deny(warnings)]

use axum::extract::Request;
use axum::http::Method;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay(_: Method, request: Request) -> String {
    request.uri().to_string()
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
