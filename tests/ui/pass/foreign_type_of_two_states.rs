//! Where several states make an extractor of a foreign type, `state` names one of them.

#![deny(warnings)]

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{StatusCode, request::Parts};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency,
}

#[derive(Clone, FromRef)]
struct Bank {
    idempotency: Idempotency,
}

impl FromRequestParts<Shop> for bool {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &Shop) -> Result<Self, StatusCode> {
        Ok(true)
    }
}

impl FromRequestParts<Bank> for bool {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &Bank) -> Result<Self, StatusCode> {
        Ok(false)
    }
}

#[idempotent(state = Shop)]
async fn pay(is_admin: bool) -> String {
    is_admin.to_string()
}

fn main() {
    let _: Router<Shop> = Router::new().route("/0", post(pay));
    let _: Router<Bank> = Router::new().route("/0", post(pay));
}
