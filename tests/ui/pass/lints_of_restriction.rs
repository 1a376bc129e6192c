//! Lints of clippy's that look at how a function is used, and at its patterns; and some that nobody may allow.

#![deny(warnings, clippy::unused_async, clippy::pattern_type_mismatch, clippy::allow_attributes)]
#![deny(clippy::allow_attributes_without_reason, clippy::let_underscore_untyped, clippy::missing_docs_in_private_items)]
#![forbid(unsafe_code, unused_imports, unused_must_use, dead_code)]

use axum::extract::{Json, Path};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

/// Waits for nothing.
#[idempotent]
async fn pay() {}

/// Waits for nothing, for any number.
#[idempotent(key = (id, &body))]
async fn refund<const N: usize>(Path((id, _)): Path<(u64, u64)>, Json(body): Json<String>) -> String {
    format!("{id} {body} {N}")
}

/// The program.
fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay)).route("/1", post(refund::<1>));
}
