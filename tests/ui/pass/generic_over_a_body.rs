#![deny(warnings)]
//! The body's type is a parameter.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;
#[idempotent]
async fn pay<T>(Json(body): Json<T>) -> Json<T>
where
    T: DeserializeOwned + Serialize + Send + 'static,
{
    Json(body)
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay::<u64>)).with_state(Idempotency::new(MemoryStore::new()));
}
