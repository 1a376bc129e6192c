#![no_implicit_prelude]
#![deny(warnings)]

use ::axum::extract::{Json, State};
use ::axum::routing::post;
use ::axum::{Router, http::StatusCode};
use ::cratestack_runtime::{Idempotency, idempotent};

#[idempotent(ttl = "24h", key = amount, state = Idempotency)]
async fn pay(_: State<Idempotency>, Json(amount): Json<u64>) -> ::std::result::Result<Json<u64>, StatusCode> {
    ::std::result::Result::Ok(Json(amount))
}

struct Shop;

impl ::axum::response::IntoResponse for Shop {
    fn into_response(self) -> ::axum::response::Response {
        ::axum::response::IntoResponse::into_response(())
    }
}

impl Shop {
    #[idempotent]
    async fn open() -> Self {
        Self
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(Shop::open));
}
