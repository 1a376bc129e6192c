use axum::extract::State;
use axum::{Router, routing::get, routing::post};
use cratestack_runtime::idempotent;

#[derive(Clone)]
struct App {}

#[idempotent]
async fn pay(body: String) -> String {
    body
}

async fn list(_: State<App>) {}

fn main() {
    let payments = Router::new().route("/", post(pay));
    let app = Router::new().nest("/payments", payments).route("/", get(list));
    let _: Router = app.with_state(App {});
}
