use std::sync::Arc;

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::idempotent;

struct App {}

#[idempotent]
async fn pay(_: State<Arc<App>>, body: String) -> String {
    body
}

fn main() {
    let app = Arc::new(App {});
    let _: Router = Router::new().route("/payments", post(pay)).with_state(app);
}
