//! What `transaction` goes with.

#![deny(warnings)]

use axum::extract::FromRequestParts;
use axum::http::{StatusCode, request::Parts};
use axum::{Json, Router, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, idempotent};
use sqlx::Sqlite;

/// Not the runtime's.
#[derive(Clone)]
struct Tx;

impl<S: Sync> FromRequestParts<S> for Tx {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Ok(Self)
    }
}

#[derive(Debug)]
struct Broken(sqlx::Error);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Broken {}

impl axum::response::IntoResponse for Broken {
    fn into_response(self) -> axum::response::Response {
        StatusCode::BAD_GATEWAY.into_response()
    }
}

#[idempotent(transaction, isolation = serializable, retry = 3)]
async fn retried(Tx: Tx, mut tx: cratestack_runtime::Tx<Sqlite>, Json(id): Json<u64>) -> Result<String, Broken> {
    sqlx::query("DELETE FROM drafts").execute(&mut *tx).await.map_err(Broken)?;
    Ok(id.to_string())
}

#[idempotent(transaction, commit = all, record = all_but_5xx, on_store_error = refuse, wait = "1s", lease = "5s")]
async fn committed(tx: cratestack_runtime::Tx<Sqlite>) -> Result<String, String> {
    drop(tx);
    Ok(String::new())
}

#[idempotent(transaction, optional, record = success, commit = success, isolation = read_committed, body_limit = 9)]
async fn optional(tx: cratestack_runtime::Tx<Sqlite>, _: Tx) {
    drop(tx);
}

fn main() {
    let _: Router<Idempotency<SqliteStore>> =
        Router::new().route("/0", post(retried)).route("/1", post(committed)).route("/2", post(optional));
}
