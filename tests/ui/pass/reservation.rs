#![deny(warnings)]
//! The reservation as an argument, also an optional one.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use cratestack_runtime::Reservation;
#[idempotent]
async fn a(reservation: Reservation) -> String {
    reservation.derive("charge").to_string()
}

#[idempotent(optional)]
async fn b(reservation: Option<Reservation>, _: String) -> String {
    reservation.map_or_else(String::new, |reservation| reservation.key().to_owned())
}

fn main() {
    let _: Router = Router::new().route("/0", post(a)).route("/1", post(b)).with_state(Idempotency::new(MemoryStore::new()));
}
