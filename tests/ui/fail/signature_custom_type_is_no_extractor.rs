use cratestack_runtime::idempotent;

use axum::extract::FromRef;
use axum::http::Method;
use cratestack_runtime::Idempotency;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

struct User;

#[idempotent(state = App)]
async fn pay(_: User, _: Method) {}

fn main() {}
