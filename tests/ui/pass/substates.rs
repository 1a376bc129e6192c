#![deny(warnings)]

use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
}

#[idempotent]
async fn pay(State(name): State<&'static str>, State(app): State<App>) -> String {
    format!("{name} {}", app.name)
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay));
}
