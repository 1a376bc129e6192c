use axum::{Json, extract::State, http::StatusCode};
use cratestack_runtime::{Reservation, idempotent};

use super::{
    Shop,
    ledger::{Answer, Order},
    stage::Stage,
};

#[idempotent(lease = "4s")]
pub(super) async fn pay(
    reservation: Reservation,
    State(shop): State<Shop>,
    stage: Stage,
    Json(order): Json<Order>,
) -> Answer {
    stage.before_the_charge().await;
    let key = reservation.derive("charge");
    let charge = reservation.step("charge", async || shop.charge_at_provider(&stage, key, &order).await).await?;
    stage.between_charge_and_shipment().await;
    reservation.step("ship", async || shop.ship(&stage, &order).await).await?;
    stage.after_the_shipment().await;
    Ok((StatusCode::CREATED, Json(charge)))
}
