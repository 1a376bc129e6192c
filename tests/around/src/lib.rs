//! What does not compile, and so is in no test: `typed_post` asks of a handler's first argument that it is the path.
//!
//! ```compile_fail
//! use axum::Router;
//! use axum_extra::routing::{RouterExt as _, TypedPath};
//! use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
//!
//! #[derive(serde::Deserialize, TypedPath)]
//! #[typed_path("/orders/{order}/payments")]
//! struct Payments {
//!     order: u64,
//! }
//!
//! #[idempotent]
//! async fn pay(path: Payments) -> String {
//!     path.order.to_string()
//! }
//!
//! let router: Router = Router::new().typed_post(pay).with_state(Idempotency::new(MemoryStore::new()));
//! ```
//!
//! It is the attribute that does not; without it, and with all else as above, it does:
//!
//! ```
//! use axum::Router;
//! use axum_extra::routing::{RouterExt as _, TypedPath};
//! use cratestack_runtime::{Idempotency, MemoryStore};
//!
//! #[derive(serde::Deserialize, TypedPath)]
//! #[typed_path("/orders/{order}/payments")]
//! struct Payments {
//!     order: u64,
//! }
//!
//! async fn pay(path: Payments) -> String {
//!     path.order.to_string()
//! }
//!
//! let router: Router = Router::new().typed_post(pay).with_state(Idempotency::new(MemoryStore::new()));
//! ```
