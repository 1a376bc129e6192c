#![deny(warnings)]

use axum::http::Method;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// Pays.
#[idempotent(key = body, ttl = "24h")]
#[tracing::instrument(skip_all)]
async fn pay(
    #[cfg(target_pointer_width = "16")] _: Absent,
    #[cfg(not(target_pointer_width = "16"))]
    #[cfg(not(target_os = "none"))]
    _: Method,
    #[allow(unused_variables)] body: String,
) {
}

struct Shop;

impl Shop {
    #[idempotent]
    async fn pay(#[cfg(target_os = "none")] self, #[cfg(not(target_os = "none"))] body: String) -> String {
        let Self = Self;
        body
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(Shop::pay));
}
