//! A layer that guards services which are not annotated: a router, a route, any `tower::Service` of HTTP requests.
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::post};
//! use cratestack_runtime::{Idempotency, IdempotencyLayer, MemoryStore};
//!
//! async fn pay(body: String) -> (StatusCode, String) {
//!     (StatusCode::CREATED, format!("paid: {body}"))
//! }
//!
//! let idempotency = Idempotency::new(MemoryStore::new());
//! let app: Router = Router::new().route("/payments", post(pay)).layer(IdempotencyLayer::new(idempotency));
//! ```
//!
//! [`IdempotencyLayer`] is a `builder` of the `terms`, by which [`IdempotencyService`] (`service`) guards one service.

mod builder;
mod service;
mod terms;

pub use builder::IdempotencyLayer;
pub use service::IdempotencyService;
