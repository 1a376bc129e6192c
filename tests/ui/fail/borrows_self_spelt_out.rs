use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop;

impl Shop {
    #[idempotent]
    async fn pay(self: &Self) {}
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(Shop::pay));
}
