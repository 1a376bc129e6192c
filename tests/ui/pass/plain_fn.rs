#![deny(warnings)]

use axum::http::StatusCode;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};
use std::future::{Ready, ready};
use std::pin::Pin;

#[expect(clippy::manual_async_fn)]
#[idempotent]
fn opaque(body: String) -> impl std::future::Future<Output = String> + Send {
    async move { body }
}

#[idempotent]
fn named() -> Ready<StatusCode> {
    ready(StatusCode::CREATED)
}

#[idempotent]
fn boxed() -> Pin<Box<dyn std::future::Future<Output = Result<StatusCode, StatusCode>> + Send>> {
    Box::pin(async { Ok(StatusCode::CREATED) })
}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(opaque)).route("/1", post(named)).route("/2", post(boxed));
}
