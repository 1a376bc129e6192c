use axum::Json;
use cratestack_runtime::{Tx, idempotent};
use sqlx::Postgres;

#[derive(serde::Deserialize)]
struct Order {
    id: u64,
}

#[idempotent(transaction, retry = 3)]
async fn pay(_: Tx<Postgres>, Json(order): Json<Order>) -> String {
    order.id.to_string()
}

fn main() {}
