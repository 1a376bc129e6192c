//! As much of Stripe's API as its SDKs need to create a payment intent.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use cratestack_runtime::{Idempotency, Problem, Tx, idempotent};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Sqlite;

use crate::Till;
use crate::trouble::Trouble;

#[derive(Deserialize)]
pub(crate) struct CreateIntent {
    amount: i64,
    currency: String,
}

async fn insert(mut tx: Tx<Sqlite>, trouble: Trouble, request: CreateIntent) -> Result<Json<Value>, StatusCode> {
    let CreateIntent { amount, currency } = request;
    trouble.before_the_effect().await;
    let written = sqlx::query("INSERT INTO effects (what) VALUES ($1)")
        .bind(format!("{amount} {currency}"))
        .execute(&mut *tx)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    trouble.after_the_effect();
    let id = format!("pi_{}", written.last_insert_rowid());
    Ok(Json(json!({ "id": id, "object": "payment_intent", "amount": amount, "currency": currency })))
}

#[idempotent(transaction)]
pub(crate) async fn create(
    tx: Tx<Sqlite>,
    trouble: Trouble,
    Form(request): Form<CreateIntent>,
) -> Result<Json<Value>, StatusCode> {
    insert(tx, trouble, request).await
}

#[idempotent(transaction, wait = "20s")]
pub(crate) async fn create_and_wait(
    tx: Tx<Sqlite>,
    trouble: Trouble,
    Form(request): Form<CreateIntent>,
) -> Result<Json<Value>, StatusCode> {
    insert(tx, trouble, request).await
}

/// With a reservation, which a panic after the effect does not undo.
#[idempotent]
pub(crate) async fn create_reserved(
    State(till): State<Till>,
    trouble: Trouble,
    Form(request): Form<CreateIntent>,
) -> Result<Json<Value>, StatusCode> {
    let CreateIntent { amount, currency } = request;
    let written = sqlx::query("INSERT INTO effects (what) VALUES ($1)")
        .bind(format!("{amount} {currency}"))
        .execute(&till.ledger)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    trouble.after_the_effect();
    let id = format!("pi_{}", written.last_insert_rowid());
    Ok(Json(json!({ "id": id, "object": "payment_intent", "amount": amount, "currency": currency })))
}

/// Refusals as Stripe's SDKs read errors.
pub(crate) fn error(problem: &Problem) -> Response {
    let status = match problem.code() {
        // As Stripe answers it; by a 422, stripe-python does not know it for an `IdempotencyError`.
        "idempotency_key_conflict" => StatusCode::BAD_REQUEST,
        _ => problem.status(),
    };
    // Without it, the SDKs send every 409 and every 5xx again.
    let again = [("stripe-should-retry", problem.retryable().to_string())];
    let error = json!({ "type": "idempotency_error", "code": problem.code(), "message": problem.detail() });
    (status, again, Json(json!({ "error": error }))).into_response()
}

pub(crate) fn speak<S>(idempotency: Idempotency<S>) -> Idempotency<S> {
    idempotency.problems(|problem| error(&problem)).mark_replays_with(HeaderName::from_static("idempotent-replayed"))
}
