#![deny(warnings)]
//! Documentation stays, other attributes move along.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

mod api {
    #![deny(missing_docs)]
    //! Documented.

    use cratestack_runtime::idempotent;

    /// Pays.
    ///
    /// Once.
    #[idempotent]
    #[must_use]
    #[allow(unused_mut)]
    pub async fn pay(mut body: String) -> String {
        body
    }
}

#[idempotent]
#[cfg(all())]
async fn there() {}

#[idempotent]
#[cfg(any())]
async fn not_there() -> Nonsense {}

fn main() {
    let _: Router = Router::new().route("/0", post(api::pay)).route("/1", post(there)).with_state(Idempotency::new(MemoryStore::new()));
}
