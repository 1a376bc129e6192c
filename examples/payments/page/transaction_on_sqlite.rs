use axum::{Json, http::StatusCode};
use cratestack_runtime::{Tx, idempotent};
use sqlx::Sqlite;

use super::{
    ledger::{Answer, CHARGE, Charge, Order},
    stage::Stage,
};

#[idempotent(transaction)]
pub(super) async fn pay(mut tx: Tx<Sqlite>, stage: Stage, Json(order): Json<Order>) -> Answer {
    stage.before_the_charge().await;
    let charge = Charge::of(&order);
    sqlx::query(CHARGE)
        .bind(order.shop)
        .bind(charge.number)
        .bind(charge.amount)
        .bind(charge.process)
        .execute(&mut *tx)
        .await?;
    stage.after_the_charge().await;
    Ok((StatusCode::CREATED, Json(charge)))
}
