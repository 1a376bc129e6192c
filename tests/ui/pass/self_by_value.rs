#![deny(warnings)]
//! `self` is an extractor like any other.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
struct Shop(String);

impl<S: Send + Sync> FromRequestParts<S> for Shop {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.uri.path().to_owned()))
    }
}

impl Shop {
    #[idempotent]
    async fn a(self) -> String {
        self.0
    }

    #[idempotent(key = self.0)]
    async fn b(mut self, body: String) -> String {
        self.0.push_str(&body);
        self.0
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(Shop::a)).route("/1", post(Shop::b)).with_state(Idempotency::new(MemoryStore::new()));
}
