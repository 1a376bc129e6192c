use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay<'a>(_: std::borrow::Cow<'a, str>) {}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
