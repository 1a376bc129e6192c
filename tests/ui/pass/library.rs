//! Handlers that others see, in a library.

#![deny(warnings, missing_docs)]

use axum::extract::{FromRef, Json, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// A state.
#[derive(Clone, Debug, FromRef)]
pub struct App {
    idempotency: Idempotency,
}

/// Pays.
///
/// # Errors
///
/// When there is nothing to pay.
#[idempotent(ttl = "24h", key = amount, state = App)]
pub async fn pay(State(app): State<App>, Json(amount): Json<u64>) -> Result<Json<u64>, String> {
    if amount == 0 { Err(format!("{app:?}")) } else { Ok(Json(amount)) }
}

/// A shop.
#[derive(Debug)]
pub struct Shop;

impl Shop {
    /// Opens it.
    #[idempotent]
    pub async fn open(body: String) -> String {
        let Self = Self;
        body
    }

    /// Closes it.
    #[idempotent]
    #[must_use]
    pub async fn close() -> &'static str {
        "closed"
    }
}

/// All routes.
pub fn routes() -> Router<App> {
    Router::new().route("/0", post(pay)).route("/1", post(Shop::open)).route("/2", post(Shop::close))
}
