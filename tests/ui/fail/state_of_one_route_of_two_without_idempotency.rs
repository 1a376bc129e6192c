use axum::extract::State;
use axum::{Router, routing::get};
use cratestack_runtime::idempotent;

#[derive(Clone)]
struct App {}

#[idempotent]
async fn pay(_: State<App>, body: String) -> String {
    body
}

async fn list(_: State<App>) {}

fn router() -> Router<App> {
    Router::new().route("/payments", get(list).post(pay))
}

fn main() {
    drop(router);
}
