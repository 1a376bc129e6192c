use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, idempotent};

trait Shop {
    #[idempotent]
    async fn pay();
}

fn main() {}
