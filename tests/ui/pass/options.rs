#![deny(warnings)]

use axum::Json;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, Reservation, idempotent};

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    lines: Vec<(u32, String)>,
}

#[idempotent(ttl = "1h 30m", lease = "250ms", optional, wait = "5s",)]
async fn times(reservation: Option<Reservation>) -> String {
    reservation.map(|reservation| reservation.key().to_owned()).unwrap_or_default()
}

#[idempotent(
    key = order.id,
    principal = (order.id.len(), { let tenant = order.lines.len(); tenant + 1 }),
    fingerprint = (&order.lines, order.lines.iter().map(|(count, _)| *count).collect::<Vec<_>>()),
)]
async fn parts(Json(mut order): Json<Order>) -> String {
    order.lines.clear();
    order.id
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(times)).route("/1", post(parts));
}
