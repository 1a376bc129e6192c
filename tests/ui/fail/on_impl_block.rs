use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop;

#[idempotent]
impl Shop {
    async fn pay() {}
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(Shop::pay));
}
