//! What describes the handler to others stays on what others see.

#![deny(warnings, missing_docs)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// Pays.
///
/// ```
/// let _ = 1;
/// ```
#[idempotent]
pub async fn pay() {}

/// Pays, as before.
#[deprecated = "use `pay`"]
#[idempotent]
pub async fn old() {}

/// Its result is a response.
#[idempotent]
#[must_use]
#[doc(alias = "payment")]
pub async fn must() -> &'static str {
    "paid"
}

/// A shop.
#[derive(Debug)]
pub struct Shop;

impl Shop {
    /// Pays here.
    #[idempotent]
    #[deprecated]
    pub async fn pay(_: String) -> String {
        let shop = Self;
        format!("{shop:?}")
    }
}

fn main() {
    #[allow(deprecated)]
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(pay))
        .route("/1", post(old))
        .route("/2", post(must))
        .route("/3", post(Shop::pay));
}
