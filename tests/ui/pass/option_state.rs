#![deny(warnings)]

use axum::extract::{FromRef, Json, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
}

#[idempotent(state = App)]
async fn pay(State(app): State<App>, State(name): State<&'static str>, Json(amount): Json<u64>) -> String {
    format!("{} {name} {amount}", app.name)
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay));
}
