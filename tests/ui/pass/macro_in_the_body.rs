#![deny(warnings)]
//! `self` and `Self` inside macros of a body.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

struct Shop(u8);

impl Shop {
    #[idempotent]
    async fn pay() -> String {
        format!("{} {:?}", Self(1).0, vec![Self::two()])
    }

    fn two() -> u8 {
        2
    }
}

fn main() {
    let _: Router = Router::new().route("/0", post(Shop::pay)).with_state(Idempotency::new(MemoryStore::new()));
}
