//! A state in an `Arc`, which need not be `Clone`: what the state provides is enough.

#![deny(warnings)]

use std::sync::Arc;

use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

struct App {
    idempotency: Idempotency,
    name: String,
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idempotency.clone()
    }
}

#[idempotent]
async fn pay(State(app): State<Arc<App>>, body: String) -> String {
    format!("{} {body}", app.name)
}

#[idempotent]
async fn refund(body: String) -> String {
    body
}

#[idempotent(state = Arc<App>)]
async fn cancel(State(app): State<Arc<App>>) -> String {
    app.name.clone()
}

async fn bare(State(app): State<Arc<App>>) -> String {
    app.name.clone()
}

fn main() {
    let app = Arc::new(App { idempotency: Idempotency::new(MemoryStore::new()), name: String::new() });
    let refunds = Router::new().route("/", post(refund).put(bare));
    let of_its_own: Router = Router::new().route("/0", post(refund)).with_state(Arc::new(Arc::clone(&app)));
    let _: Router = Router::new()
        .route("/0", post(pay).get(bare).put(cancel))
        .nest("/refunds", refunds)
        .merge(Router::new().route("/1", post(refund).with_state(Idempotency::from_ref(&app))))
        .with_state(app)
        .merge(of_its_own)
        .nest_service("/2", Router::new().route("/", post(refund)).with_state(Idempotency::new(MemoryStore::new())));
}
