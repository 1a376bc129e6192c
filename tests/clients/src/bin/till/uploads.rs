//! Uploads, whose multipart bodies have another boundary whenever a client makes them anew.

use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::response::{IntoResponse, Response};
use cratestack_runtime::idempotent;
use http::StatusCode;

use crate::Till;

/// The fields of an expense.
pub(crate) struct Expense {
    amount: String,
    receipt: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Expense {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let mut form = Multipart::from_request(request, state).await.map_err(MultipartRejection::into_response)?;
        let (mut amount, mut receipt) = (None, None);
        while let Some(field) = form.next_field().await.map_err(IntoResponse::into_response)? {
            match field.name() {
                Some("amount") => amount = Some(field.text().await.map_err(IntoResponse::into_response)?),
                Some("receipt") => receipt = Some(field.bytes().await.map_err(IntoResponse::into_response)?),
                _ => {}
            }
        }
        let missing = || (StatusCode::UNPROCESSABLE_ENTITY, "send `amount` and `receipt`").into_response();
        Ok(Self { amount: amount.ok_or_else(missing)?, receipt: receipt.ok_or_else(missing)? })
    }
}

async fn file(till: &Till, expense: &Expense) -> Result<(StatusCode, String), StatusCode> {
    let written = sqlx::query("INSERT INTO effects (what) VALUES ($1)")
        .bind(format!("{} for {} bytes", expense.amount, expense.receipt.len()))
        .execute(&till.ledger)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::CREATED, format!("expense {}", written.last_insert_rowid())))
}

#[idempotent]
pub(crate) async fn receipt(State(till): State<Till>, expense: Expense) -> Result<(StatusCode, String), StatusCode> {
    file(&till, &expense).await
}

#[idempotent(fingerprint = (&expense.amount, &expense.receipt[..]))]
pub(crate) async fn receipt_by_field(
    State(till): State<Till>,
    expense: Expense,
) -> Result<(StatusCode, String), StatusCode> {
    file(&till, &expense).await
}
