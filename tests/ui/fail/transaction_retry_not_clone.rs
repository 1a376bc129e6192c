use axum::extract::FromRequestParts;
use axum::http::{StatusCode, request::Parts};
use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

struct Token;

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Err(StatusCode::BAD_REQUEST)
    }
}

#[idempotent(transaction, retry = 3)]
async fn pay(tx: Tx<Sqlite>, _: Token) {
    let _ = tx;
}

fn main() {}
