use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};
use axum::Json;
use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: u64,
    amount: f64,
}

#[idempotent(key = order.id)]
async fn pay(Json(_): Json<Order>) {}

fn read(order: &Order) -> (u64, f64) {
    (order.id, order.amount)
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
