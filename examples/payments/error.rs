//! What the handlers answer when they refuse.

use axum::{
    Json,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use cratestack_runtime::{StepError, Unrecorded};
use serde_json::json;

pub(crate) enum ApiError {
    AmountNotPositive(i64),
    NotFound,
    NoRoute(Method, Uri),
    /// `?fail=` asked for this status.
    Asked(u16),
    Ledger(sqlx::Error),
    Step(StepError),
}

impl From<StepError> for ApiError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::AmountNotPositive(amount) => {
                (StatusCode::UNPROCESSABLE_ENTITY, format!("amount must be above 0 minor units, and is {amount}"))
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such payment".to_owned()),
            Self::NoRoute(method, uri) => {
                let path = uri.path();
                (StatusCode::NOT_FOUND, format!("there is no {method} {path} here; try GET / or POST /payments"))
            }
            Self::Asked(status) => match StatusCode::from_u16(status) {
                Ok(known) if !known.is_informational() => (known, format!("asked to fail with {status}")),
                _ => (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    format!("fail must be a status from 200 to 999, and is {status}"),
                ),
            },
            Self::Step(cause) => {
                eprintln!("a step of a payment has no value: {cause}");
                // It is not recorded, as a run goes on from its steps.
                (StatusCode::SERVICE_UNAVAILABLE, "the payment is not finished, send it again".to_owned())
            }
            Self::Ledger(cause) => {
                // The cause is the operator's business, not the caller's.
                eprintln!("the ledger does not answer: {cause}");
                let error = Json(json!({ "error": "the ledger does not answer, try again later" }));
                let status = StatusCode::SERVICE_UNAVAILABLE;
                // Without a connection nothing can have happened, so a retry may run the handler again. After any other
                // failure the payment may have been made, and the answer stays what it is.
                return match cause {
                    sqlx::Error::PoolTimedOut => (status, Unrecorded, error).into_response(),
                    _ => (status, error).into_response(),
                };
            }
        };
        (status, Json(json!({ "error": error }))).into_response()
    }
}
