use cratestack_runtime::idempotent;

use axum::extract::Path;

struct Id;

#[idempotent]
async fn pay(Path(_): Path<Id>) {}

fn main() {}
