//! Payments in JSON. What must match on a retry is the whole request.

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use cratestack_runtime::idempotent;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tower_http::decompression::RequestDecompressionLayer;

use crate::Till;
use crate::trouble::Trouble;

#[derive(Deserialize)]
pub(crate) struct CreatePayment {
    amount: i64,
    currency: String,
}

#[derive(Serialize)]
pub(crate) struct Payment {
    id: i64,
    amount: i64,
    currency: String,
}

pub(crate) type Answer = Result<(StatusCode, Json<Payment>), StatusCode>;

async fn take(till: &Till, trouble: Trouble, request: CreatePayment) -> Answer {
    let CreatePayment { amount, currency } = request;
    trouble.before_the_effect().await;
    let written = sqlx::query("INSERT INTO effects (what) VALUES ($1)")
        .bind(format!("{amount} {currency}"))
        .execute(&till.ledger)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    trouble.after_the_effect();
    Ok((StatusCode::CREATED, Json(Payment { id: written.last_insert_rowid(), amount, currency })))
}

#[idempotent]
pub(crate) async fn pay(State(till): State<Till>, trouble: Trouble, Json(request): Json<CreatePayment>) -> Answer {
    take(&till, trouble, request).await
}

#[idempotent(wait = "20s")]
pub(crate) async fn pay_and_wait(
    State(till): State<Till>,
    trouble: Trouble,
    Json(request): Json<CreatePayment>,
) -> Answer {
    take(&till, trouble, request).await
}

/// Whatever comes, as it comes.
#[idempotent]
pub(crate) async fn keep(State(till): State<Till>, body: Bytes) -> Result<StatusCode, StatusCode> {
    sqlx::query("INSERT INTO effects (what) VALUES ($1)")
        .bind(format!("{} bytes", body.len()))
        .execute(&till.ledger)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(StatusCode::CREATED)
}

/// The same payments, whose bodies may be compressed: the layer stands above the guard, which sees what it unpacks.
pub(crate) fn unpacked() -> Router<Till> {
    Router::new().route("/unpacked", post(pay)).layer(RequestDecompressionLayer::new())
}
