#![deny(warnings)]

use axum::extract::FromRequestParts;
use axum::http::{StatusCode, request::Parts};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// No transaction of the runtime's.
struct Tx;

impl<S: Sync> FromRequestParts<S> for Tx {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self)
    }
}

#[idempotent]
async fn pay(_: Tx, _: Option<Wrapped<Tx>>) {}

struct Wrapped<T>(T);

impl<S: Sync> axum::extract::OptionalFromRequestParts<S> for Wrapped<Tx> {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Option<Self>, StatusCode> {
        Ok(Some(Self(Tx)).filter(|wrapped| matches!(wrapped.0, Tx)))
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
