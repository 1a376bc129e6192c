use cratestack_runtime::idempotent;

use axum::Json;

struct Order;

#[idempotent]
async fn pay(Json(_): Json<Order>) {}

fn main() {}
