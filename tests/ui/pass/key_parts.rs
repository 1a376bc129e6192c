#![deny(warnings)]

use axum::Json;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, KeyPart, PartHasher, idempotent};

#[derive(serde::Deserialize)]
struct Order {
    id: u64,
    name: String,
    note: Option<String>,
    lines: Vec<(u32, String)>,
    owner: Owner,
}

#[derive(serde::Deserialize)]
struct Owner(u64);

impl KeyPart for Owner {
    fn feed(&self, hasher: &mut PartHasher) {
        self.0.feed(hasher);
    }
}

#[idempotent(
    key = (order.id, order.name, order.note, order.lines, order.owner, order.name[..1]),
    principal = (order.owner.0, &order.owner, (order.id, order.name.as_str(), [1, 2])),
    fingerprint = order.lines.iter().map(|(count, _)| *count).sum::<u32>(),
)]
async fn pay(Json(order): Json<Order>) -> String {
    order.name
}

#[idempotent(key = order.name[..], fingerprint = *order.lines)]
async fn unsized_parts(Json(order): Json<Order>) -> String {
    order.name
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(unsized_parts));
}
