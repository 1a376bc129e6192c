//! The same guard, said in other ways: a duplicate that waits, a key that is part of the body, a call to somebody else.

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::post,
};
use cratestack_runtime::{Reservation, idempotent};
use serde::Deserialize;
use uuid::Uuid;

use crate::{App, CreatePayment, error::ApiError, ledger::Payment, trouble::Trouble};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/payments/wait", post(pay_and_let_wait))
        .route("/orders", post(order))
        .route("/charges", post(charge).get(list_charges))
}

/// A second click while the first runs waits for its outcome instead of being told 409.
#[idempotent(wait = "10s", fingerprint = (request.amount, request.currency))]
async fn pay_and_let_wait(
    State(app): State<App>,
    Query(trouble): Query<Trouble>,
    Json(request): Json<CreatePayment>,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    trouble.before_the_effect().await?;
    let payment = app.ledger.insert(request.amount, &request.currency).await?;
    Ok((StatusCode::CREATED, Json(payment)))
}

#[derive(Deserialize)]
struct Order {
    request_id: Uuid,
    amount: i64,
    currency: String,
}

/// Orders that a marketplace passes on, without a header of ours. Their ids are the marketplace's, from whichever
/// address it calls. Amount and currency must match on a retry; the rest of the body, the order of its members and the
/// query may change.
#[idempotent(key = order.request_id, principal = "marketplace", fingerprint = (order.amount, order.currency))]
async fn order(State(app): State<App>, Json(order): Json<Order>) -> Result<(StatusCode, Json<Payment>), ApiError> {
    let payment = app.ledger.insert(order.amount, &order.currency).await?;
    Ok((StatusCode::CREATED, Json(payment)))
}

/// Charges a card at a provider that is idempotent itself. However often this handler is started for one request, after
/// a crash too, it presents the same derived key, and the provider makes one charge.
#[idempotent(fingerprint = (request.amount, request.currency))]
async fn charge(
    State(app): State<App>,
    Query(trouble): Query<Trouble>,
    reservation: Reservation,
    Json(request): Json<CreatePayment>,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    // In a real service this is an HTTP call, with the derived value as its own `Idempotency-Key`.
    let key = reservation.derive("charge-card");
    let charge = app.ledger.charge_at_provider(key, request.amount, &request.currency).await?;
    trouble.after_the_effect();
    Ok((StatusCode::CREATED, Json(charge)))
}

async fn list_charges(State(app): State<App>) -> Result<Json<Vec<Payment>>, ApiError> {
    Ok(Json(app.ledger.charges().await?))
}
