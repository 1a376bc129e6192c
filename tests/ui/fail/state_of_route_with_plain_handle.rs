use axum::extract::FromRef;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, Tx, idempotent};
use sqlx::Postgres;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(transaction)]
async fn pay(_: Tx<Postgres>, body: String) -> String {
    body
}

fn router() -> Router<App> {
    Router::new().route("/payments", post(pay))
}

fn main() {
    drop(router);
}
