#![deny(warnings)]

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop {
    id: u64,
}

impl<S: Send + Sync> FromRequestParts<S> for Box<Shop> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Path(id) = Path::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self::new(Shop { id }))
    }
}

impl Shop {
    #[idempotent(key = self.id)]
    async fn pay(self: Box<Self>) -> String {
        self.id.to_string()
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(Shop::pay));
}
