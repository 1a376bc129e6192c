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

impl std::fmt::Display for Shop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

const PART: u64 = 1;

impl Shop {
    fn owner(&self) -> u64 {
        self.id
    }

    #[idempotent]
    async fn pay(self, body: String) -> String {
        format!("{} {body}", self.id)
    }

    #[idempotent(key = self.id, fingerprint = (format!("{}", self.id), self::PART))]
    async fn keyed(self) -> String {
        self.id.to_string()
    }

    #[idempotent(key = (format!("{self} of {body}"), &body), principal = Self::owner(&self))]
    async fn shown<const N: usize>(self, body: String) -> String {
        let _ = self;
        body
    }

    #[idempotent(key = self.id)]
    async fn mutable(mut self) -> String {
        self.id += 1;
        self.id.to_string()
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(Shop::pay))
        .route("/1", post(Shop::keyed))
        .route("/2", post(Shop::mutable))
        .route("/3", post(Shop::shown::<1>));
}
