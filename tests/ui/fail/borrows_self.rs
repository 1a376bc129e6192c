use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop;

impl Shop {
    #[idempotent]
    async fn pay(&self) {}
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/", post(Shop::pay));
}
