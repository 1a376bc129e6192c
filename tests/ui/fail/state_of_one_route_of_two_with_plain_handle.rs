use axum::extract::{FromRef, State};
use axum::{Router, routing::get};
use cratestack_runtime::{Idempotency, Tx, idempotent};
use sqlx::Postgres;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(transaction)]
async fn pay(_: State<App>, _: Tx<Postgres>, body: String) -> String {
    body
}

async fn list(_: State<App>) {}

fn router() -> Router<App> {
    Router::new().route("/payments", get(list).post(pay))
}

fn main() {
    drop(router);
}
