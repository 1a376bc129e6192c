use axum::extract::FromRequestParts;
use axum::http::{StatusCode, request::Parts};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop(u64);

impl<S: Sync> FromRequestParts<S> for Shop {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        Err(StatusCode::BAD_REQUEST)
    }
}

impl Shop {
    #[idempotent(key = {
        self.0 += 1;
        self.0
    })]
    async fn pay(self) {
        drop(self);
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(Shop::pay));
}
