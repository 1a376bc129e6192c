#![deny(warnings)]

use axum::http::StatusCode;
use axum::response::ErrorResponse;
use axum::{Json, response};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

type Outcome<T> = Result<T, (StatusCode, String)>;

#[idempotent]
async fn pay(body: String) -> Result<(StatusCode, Json<u64>), StatusCode> {
    body.parse().map(|amount| (StatusCode::CREATED, Json(amount))).map_err(|_| StatusCode::BAD_REQUEST)
}

#[idempotent]
async fn behind_alias(body: String) -> Outcome<Json<u64>> {
    body.parse().map(Json).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}")))
}

#[idempotent]
async fn of_axum(body: String) -> response::Result<String> {
    if body.is_empty() {
        Err(StatusCode::BAD_REQUEST)?;
    }
    Ok(body)
}

#[idempotent]
async fn of_axum_spelt_out(body: String) -> Result<String, ErrorResponse> {
    if body.is_empty() { Err(StatusCode::BAD_REQUEST.into()) } else { Ok(body) }
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(pay))
        .route("/1", post(behind_alias))
        .route("/2", post(of_axum))
        .route("/3", post(of_axum_spelt_out));
}
