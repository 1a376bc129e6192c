use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::future::{Ready, ready};
use cratestack_runtime::idempotent;

struct Token(*const u8);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Err(StatusCode::BAD_REQUEST)
    }
}

#[idempotent]
fn pay(token: Token) -> Ready<()> {
    let _ = token.0;
    ready(())
}

fn main() {}
