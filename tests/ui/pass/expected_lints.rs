//! Whatever is expected of a handler may be seen by a lint in one of the two functions, or in neither.

#![deny(warnings, missing_docs)]

use axum::http::Method;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
#[expect(dead_code)]
async fn never_mounted() {}

#[idempotent]
#[expect(unused_variables, reason = "not yet")]
async fn unused(body: String) {}

#[expect(clippy::too_many_arguments)]
#[idempotent]
async fn many(_: Method, _: Method, _: Method, _: Method, _: Method, _: Method, _: Method, _: Method) {}

/// Payments.
pub mod payments {
    #[expect(missing_docs, clippy::missing_errors_doc)]
    #[cratestack_runtime::idempotent]
    pub async fn pay() -> Result<String, String> {
        Ok(String::new())
    }
}

struct Shop;

impl Shop {
    #[idempotent]
    #[expect(unused_variables)]
    async fn unused(body: String) {
        let Self = Self;
    }

    #[idempotent]
    #[expect(dead_code)]
    async fn never_mounted() {
        let Self = Self;
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new()
        .route("/0", post(unused))
        .route("/1", post(many))
        .route("/2", post(payments::pay))
        .route("/3", post(Shop::unused));
}
