#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(key = r#type)]
async fn r#match(r#type: String) -> String {
    r#type
}

struct Shop;

impl Shop {
    #[idempotent]
    async fn r#async(r#in: String) -> String {
        let Self = Self;
        r#in
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(r#match)).route("/1", post(Shop::r#async));
}
