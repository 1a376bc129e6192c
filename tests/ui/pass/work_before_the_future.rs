#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

#[idempotent]
fn pay() -> impl std::future::Future<Output = String> {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    async move { count.to_string() }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
