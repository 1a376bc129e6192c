#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, Reservation, idempotent};

#[idempotent]
async fn pay(reservation: Reservation) -> String {
    reservation.derive("charge").to_string()
}

#[idempotent(optional)]
async fn maybe(reservation: Option<Reservation>, body: String) -> String {
    format!("{} {body}", reservation.is_some())
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(maybe));
}
