use cratestack_runtime::idempotent;

use axum::Extension;

struct Audit;

#[idempotent]
async fn pay(_: Extension<Audit>) {}

fn main() {}
