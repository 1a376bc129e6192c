use std::sync::Arc;

use axum::extract::Extension;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent(handle = shared)]
async fn pay(Extension(shared): Extension<Arc<Idempotency>>, body: String) {
    let _ = (shared, body);
}

fn main() {}
