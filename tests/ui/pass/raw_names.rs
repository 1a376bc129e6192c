#![deny(warnings)]

use axum::extract::rejection::StringRejection;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn r#try(call: String) -> String {
    let guarded = call;
    guarded.clone()
}

#[idempotent]
async fn call(argument0: HeaderMap, Handling(response): Handling) -> String {
    let _ = argument0;
    response
}

#[idempotent(key = guarded)]
async fn guarded(guarded: String) -> String {
    guarded
}

#[idempotent(key = idempotent_guarded)]
async fn idempotent_guarded(idempotent_guarded: String) -> String {
    idempotent_guarded
}

#[idempotent(key = idempotent_call)]
async fn idempotent_arguments(idempotent_call: String) -> String {
    idempotent_call
}

struct Handling(String);

impl<S: Send + Sync> FromRequest<S> for Handling {
    type Rejection = StringRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        String::from_request(request, state).await.map(Self)
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(r#try))
        .route("/1", post(call))
        .route("/2", post(guarded))
        .route("/3", post(idempotent_guarded))
        .route("/4", post(idempotent_arguments));
}
