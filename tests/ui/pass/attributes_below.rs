#![deny(warnings)]

use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
}

#[idempotent(state = App)]
#[axum::debug_handler(state = App)]
async fn pay(State(app): State<App>, body: String) -> String {
    format!("{} {body}", app.name)
}

#[idempotent]
#[tracing::instrument(skip_all, fields(%body))]
async fn traced(State(app): State<App>, body: String) -> Result<String, String> {
    Ok(format!("{} {body}", app.name))
}

#[tracing::instrument(skip_all)]
#[idempotent]
async fn traced_above(State(app): State<App>, body: String) -> String {
    format!("{} {body}", app.name)
}

#[idempotent]
#[allow(unused_variables)]
#[inline]
async fn allowed(State(app): State<App>) {}

#[idempotent]
#[cfg(any())]
async fn absent(_: Unknown) {}

#[cfg_attr(all(), idempotent)]
async fn conditional() {}

fn main() {
    let _: Router<App> = Router::new()
        .route("/0", post(pay))
        .route("/1", post(traced))
        .route("/2", post(traced_above))
        .route("/3", post(allowed))
        .route("/4", post(conditional));
}
