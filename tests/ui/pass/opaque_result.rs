#![deny(warnings)]

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay(body: String) -> Result<impl IntoResponse, impl IntoResponse> {
    if body.is_empty() { Err(StatusCode::BAD_REQUEST) } else { Ok(body) }
}

#[idempotent]
async fn refund(body: String) -> Result<impl IntoResponse, StatusCode> {
    if body.is_empty() { Err(StatusCode::BAD_REQUEST) } else { Ok(body) }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(refund));
}
