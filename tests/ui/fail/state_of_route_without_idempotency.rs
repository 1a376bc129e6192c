use axum::{Router, routing::post};
use cratestack_runtime::idempotent;

#[derive(Clone)]
struct App {}

#[idempotent]
async fn pay(body: String) -> String {
    body
}

fn main() {
    let app = App {};
    let _: Router = Router::new().route("/payments", post(pay)).with_state(app);
}
