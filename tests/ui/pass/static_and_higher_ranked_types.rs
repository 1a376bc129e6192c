#![deny(warnings)]

use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

type Check = fn(&str) -> &str;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
    check: Check,
    all: std::sync::Arc<dyn for<'a> Fn(&'a str) -> bool + Send + Sync>,
}

#[idempotent]
#[expect(clippy::type_complexity)]
async fn pay(
    State(name): State<&'static str>,
    State(check): State<fn(&str) -> &str>,
    State(all): State<std::sync::Arc<dyn for<'a> Fn(&'a str) -> bool + Send + Sync>>,
) -> String {
    format!("{} {}", check(name), all(name))
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay));
}
