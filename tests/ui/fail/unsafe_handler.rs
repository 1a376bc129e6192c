use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
unsafe fn pay() -> std::future::Ready<()> {
    std::future::ready(())
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(pay));
}
