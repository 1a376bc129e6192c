#![deny(warnings)]
//! `self: Box<Self>`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
struct Shop;

impl<S: Send + Sync> FromRequestParts<S> for Box<Wrapped<S>> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Box::new(Wrapped(std::marker::PhantomData, Shop)))
    }
}

struct Wrapped<S>(std::marker::PhantomData<fn(S)>, Shop);

impl Wrapped<Idempotency> {
    #[idempotent]
    async fn pay(self: Box<Self>) -> String {
        let Shop = self.1;
        String::new()
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(Wrapped::pay)).with_state(Idempotency::new(MemoryStore::new()));
}
