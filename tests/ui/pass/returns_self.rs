#![deny(warnings)]
//! `-> Self`, by itself and in a `Result`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::response::{IntoResponse, Response};
struct Receipt;

impl IntoResponse for Receipt {
    fn into_response(self) -> Response {
        "receipt".into_response()
    }
}

impl Receipt {
    #[idempotent]
    async fn a() -> Self {
        Self
    }

    #[idempotent]
    async fn b() -> Result<Self, Self> {
        Ok(Self)
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(Receipt::a)).route("/1", post(Receipt::b)).with_state(Idempotency::new(MemoryStore::new()));
}
