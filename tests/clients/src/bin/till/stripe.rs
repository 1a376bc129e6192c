//! As much of Stripe's API as its SDKs need to create a payment intent.

use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json, Router, middleware};
use cratestack_runtime::{Tx, idempotent};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Sqlite;

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

/// Problems as Stripe's SDKs read errors: an object `error`, with a `type` of Stripe's.
async fn as_stripe_error(response: Response) -> Response {
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    let error = json!({ "type": "idempotency_error", "code": problem["code"], "message": problem["detail"] });
    let mut shaped = (parts.status, Json(json!({ "error": error }))).into_response();
    for (name, value) in &parts.headers {
        shaped.headers_mut().insert(name, value.clone());
    }
    shaped
}

pub(crate) fn shaped(app: Router) -> Router {
    app.layer(middleware::map_response(as_stripe_error))
}
