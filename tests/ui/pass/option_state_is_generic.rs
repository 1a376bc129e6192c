#![deny(warnings)]

use axum::extract::{FromRef, Json};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App<T> {
    idempotency: Idempotency,
    _part: T,
}

impl<T> FromRef<App<T>> for Idempotency {
    fn from_ref(app: &App<T>) -> Self {
        app.idempotency.clone()
    }
}

#[idempotent(state = App<Vec<u8>>)]
async fn pay(_: Json<u64>) {}

fn main() {
    let _: Router<App<Vec<u8>>> = Router::new().route("/0", post(pay));
}
