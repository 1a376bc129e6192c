//! The runtime under another name, which only the manifest tells.

#![deny(warnings)]

use axum::extract::{FromRef, Json, State};
use axum::{Router, routing::post};
use idem::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(ttl = "24h", key = amount, state = App)]
async fn pay(State(app): State<App>, Json(amount): Json<u64>) -> Result<Json<u64>, String> {
    let _ = app;
    Ok(Json(amount))
}

fn main() {
    let _: Router<App> = Router::new().route("/", post(pay));
}
