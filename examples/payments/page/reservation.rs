use axum::{Json, extract::State, http::StatusCode};
use cratestack_runtime::idempotent;

use super::{
    Shop,
    ledger::{Answer, Order},
    stage::Stage,
};

#[idempotent(lease = "4s")]
pub(super) async fn pay(State(shop): State<Shop>, stage: Stage, Json(order): Json<Order>) -> Answer {
    stage.before_the_charge().await;
    let charge = shop.ledger.charge(&order).await?;
    stage.after_the_charge().await;
    Ok((StatusCode::CREATED, Json(charge)))
}
