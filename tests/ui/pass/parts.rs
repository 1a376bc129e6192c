#![deny(warnings)]
//! What can be part of a key.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::Json;
use cratestack_runtime::{KeyPart, PartHasher};
use serde::Deserialize;
#[derive(Deserialize)]
struct Order {
    id: u64,
    name: String,
    note: Option<String>,
    lines: Vec<(u32, String)>,
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner(u64);

impl KeyPart for Owner {
    fn feed(&self, hasher: &mut PartHasher) {
        self.0.feed(hasher);
    }
}

#[idempotent(
    key = (order.id, order.name, order.note, order.lines, order.owner),
    principal = (order.owner.0, &order.owner, (order.id, order.name.as_str(), [1, 2])),
    fingerprint = order.lines.iter().map(|(count, _)| *count).sum::<u32>(),
)]
async fn pay(Json(order): Json<Order>) -> String {
    order.name
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay)).with_state(Idempotency::new(MemoryStore::new()));
}
