use axum::{Json, http::StatusCode};
use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

use super::{
    ledger::{Answer, CHARGE, Charge, Order, pid},
    stage::Stage,
};

#[idempotent(transaction)]
pub(super) async fn pay(mut tx: Tx<Postgres>, stage: Stage, Json(order): Json<Order>) -> Answer {
    stage.before_the_charge().await;
    sqlx::query(CHARGE).bind(order.shop).bind(order.number).bind(order.amount).bind(pid()).execute(&mut *tx).await?;
    stage.after_the_charge().await;
    Ok((StatusCode::CREATED, Json(Charge::of(&order))))
}
