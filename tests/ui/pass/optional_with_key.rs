#![deny(warnings)]

use axum::{Json, Router, routing::post};
use cratestack_runtime::{Idempotency, Reservation, idempotent};

#[derive(serde::Deserialize)]
struct Order {
    request_id: Option<String>,
}

#[idempotent(optional, key = order.request_id)]
async fn pay(reservation: Option<Reservation>, Json(order): Json<Order>) -> String {
    format!("{} {:?}", reservation.is_some(), order.request_id)
}

#[idempotent(optional, key = body)]
async fn body_alone(body: String) -> String {
    body
}

struct Till;

impl Till {
    #[idempotent(key = body, optional)]
    async fn associated(reservation: Option<Reservation>, body: String) -> String {
        format!("{} {body}", reservation.is_some())
    }
}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(pay)).route("/1", post(body_alone)).route("/2", post(Till::associated));
}
