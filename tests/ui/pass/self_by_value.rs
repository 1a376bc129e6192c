#![deny(warnings)]

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop {
    id: u64,
}

impl<S: Send + Sync> FromRequestParts<S> for Shop {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Path(id) = Path::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { id })
    }
}

const PART: u64 = 1;

impl Shop {
    #[idempotent]
    async fn pay(self, body: String) -> String {
        format!("{} {body}", self.id)
    }

    #[idempotent(key = self.id, fingerprint = (format!("{}", self.id), self::PART))]
    async fn keyed(self) -> String {
        self.id.to_string()
    }

    #[idempotent(key = self.id)]
    async fn mutable(mut self) -> String {
        self.id += 1;
        self.id.to_string()
    }
}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(Shop::pay)).route("/1", post(Shop::keyed)).route("/2", post(Shop::mutable));
}
