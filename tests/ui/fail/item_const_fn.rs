use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
const fn pay() -> std::future::Ready<()> {
    std::future::ready(())
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
