#![deny(warnings)]

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

struct Shop<T>(T);

impl<T: Clone + Send + Sync + 'static> Shop<T> {
    #[idempotent]
    async fn pay(State(part): State<T>) -> String {
        let shop = Self(part);
        let _: &T = &shop.0;
        String::new()
    }
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(Shop::<Idempotency>::pay));
}
