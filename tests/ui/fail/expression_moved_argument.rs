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

#[idempotent(key = consume(order))]
async fn pay(Json(order): Json<Order>) {
    let _ = (order.id, order.amount);
}

fn consume(order: Order) -> u64 {
    order.id
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
