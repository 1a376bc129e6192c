#![deny(warnings)]
//! Every option, alone and together.

use axum::extract::{FromRef, Json, State};
use axum::routing::post;
use axum::Router;
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};
use serde::Deserialize;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[derive(Deserialize)]
struct Order {
    id: String,
    lines: Vec<(u32, String)>,
}

#[idempotent]
async fn bare() {}

#[idempotent()]
async fn empty() {}

#[idempotent(ttl = "1h 30m", lease = "250ms", optional, wait = "5s",)]
async fn times(reservation: Option<Reservation>) -> String {
    reservation.map(|reservation| reservation.key().to_owned()).unwrap_or_default()
}

#[idempotent(record = success, on_store_error = run, body_limit = 1024)]
async fn policy(body: String) -> String {
    body
}

#[idempotent(record = all, on_store_error = refuse, state = App)]
async fn defaults(State(_app): State<App>) {}

#[idempotent(
    key = order.id,
    principal = (order.id.len(), { let tenant = "t"; tenant }),
    fingerprint = (&order.lines, order.lines.iter().map(|(count, _)| *count).collect::<Vec<_>>()),
)]
async fn parts(Json(mut order): Json<Order>) -> String {
    order.lines.clear();
    order.id
}

fn main() {
    let _: Router = Router::new()
        .route("/a", post(bare))
        .route("/b", post(empty))
        .route("/c", post(times))
        .route("/d", post(policy))
        .route("/e", post(defaults))
        .route("/f", post(parts))
        .with_state(App { idempotency: Idempotency::new(MemoryStore::new()) });
}
