//! A last argument may implement `FromRequest` under any second parameter.

#![deny(warnings)]

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Path, Request, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

/// The parameter was the body's type in axum 0.6.
struct Doc(Request);

impl FromRequest<App, Body> for Doc {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &App) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

struct OfAny<T>(T);

impl<T: Default, S: Sync> FromRequest<S, Arc<T>> for OfAny<T> {
    type Rejection = String;

    async fn from_request(_: Request, _: &S) -> Result<Self, String> {
        Ok(Self(T::default()))
    }
}

#[idempotent]
async fn pay(Doc(request): Doc) -> String {
    request.uri().to_string()
}

#[idempotent(state = App, key = id, optional)]
async fn refund(State(_): State<App>, Path(id): Path<u64>, doc: Doc) -> String {
    format!("{id} {}", doc.0.uri())
}

#[idempotent]
async fn cancel(_: Path<u64>, OfAny(body): OfAny<String>) -> String {
    body
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay)).route("/1", post(refund)).route("/2", post(cancel));
}
