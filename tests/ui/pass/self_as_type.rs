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

impl IntoResponse for Shop {
    fn into_response(self) -> Response {
        self.id.to_string().into_response()
    }
}

impl Shop {
    const NAME: &'static str = "shop";

    #[idempotent]
    async fn argument(shop: Self) -> String {
        shop.id.to_string()
    }

    #[idempotent]
    async fn returned() -> Self {
        Self { id: 7 }
    }

    #[idempotent]
    async fn result() -> Result<Self, Self> {
        Ok(Self { id: 7 })
    }

    #[idempotent]
    async fn within_a_macro() -> String {
        format!("the {}", Self::NAME)
    }

    #[idempotent]
    async fn without() -> &'static str {
        "nothing of its own"
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(Shop::argument))
        .route("/1", post(Shop::returned))
        .route("/2", post(Shop::result))
        .route("/3", post(Shop::within_a_macro))
        .route("/4", post(Shop::without));
}
