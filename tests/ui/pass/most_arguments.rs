#![deny(warnings)]

use axum::http::Method;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[allow(clippy::too_many_arguments)]
#[idempotent]
async fn pay(
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    _: Method,
    body: String,
) -> String {
    body
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
