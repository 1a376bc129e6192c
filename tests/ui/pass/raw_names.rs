#![deny(warnings)]
//! Raw identifiers, and names that generated code might use.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::rejection::StringRejection;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
#[idempotent]
async fn r#try(call: String) -> String {
    let guarded = call;
    guarded
}

#[idempotent]
async fn call(argument0: HeaderMap, Handling(response): Handling) -> String {
    let _ = argument0;
    response
}

#[idempotent]
async fn guarded(guarded: String) -> String {
    guarded
}

struct Handling(String);

impl<S: Send + Sync> FromRequest<S> for Handling {
    type Rejection = StringRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        String::from_request(request, state).await.map(Self)
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(r#try)).route("/1", post(call))
        .route("/2", post(guarded)).with_state(Idempotency::new(MemoryStore::new()));
}
