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

mod hidden {
    use axum::response::{IntoResponse, Response};

    /// Others have it from a handler alone, and reach its methods through what that returns.
    #[derive(Debug)]
    pub struct Settings(&'static str);

    impl Settings {
        /// Those of today.
        #[must_use]
        pub fn new() -> Self {
            Self("today")
        }

        /// As text.
        #[must_use]
        pub fn to_text(&self) -> String {
            self.0.to_owned()
        }
    }

    impl IntoResponse for Settings {
        fn into_response(self) -> Response {
            self.0.into_response()
        }
    }

    /// The same for an error, of a handler with more to its type.
    #[derive(Debug)]
    pub struct Refusal;

    impl Refusal {
        /// As text.
        #[must_use]
        pub fn to_text(&self) -> String {
            format!("{self:?}")
        }
    }

    impl IntoResponse for Refusal {
        fn into_response(self) -> Response {
            "refused".into_response()
        }
    }
}

/// The settings.
#[idempotent]
pub async fn settings() -> hidden::Settings {
    hidden::Settings::new()
}

/// Nothing at all.
///
/// # Errors
///
/// Always.
#[idempotent(key = body, body_limit = 64)]
pub async fn refuse(body: String) -> Result<(), hidden::Refusal> {
    Err(hidden::Refusal)
}

/// All routes.
pub fn routes() -> Router<App> {
    Router::new().route("/0", post(pay)).route("/1", post(Shop::open)).route("/2", post(Shop::close)).route("/3", post(refuse).put(settings))
}
