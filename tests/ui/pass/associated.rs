#![deny(warnings)]
//! Associated functions, with and without `Self`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

struct Shop;

impl Shop {
    const NAME: &str = "shop";

    #[idempotent]
    async fn a() -> &'static str {
        Self::NAME
    }

    #[idempotent]
    pub async fn b(body: String) -> String {
        body
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(Shop::a)).route("/1", post(Shop::b)).with_state(Idempotency::new(MemoryStore::new()));
}
