use axum::Extension;
use cratestack_runtime::idempotent;

struct User;

#[idempotent]
async fn pay(_: Extension<User>) {}

fn main() {}
