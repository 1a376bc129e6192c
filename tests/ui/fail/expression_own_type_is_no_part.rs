use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};
use axum::Json;
use serde::Deserialize;

#[derive(Deserialize)]
struct Owner(u64);

#[derive(Deserialize)]
struct Owned {
    owner: Owner,
}

#[idempotent(principal = order.owner)]
async fn pay(Json(order): Json<Owned>) {
    let _ = order.owner.0;
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
