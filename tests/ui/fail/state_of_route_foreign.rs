use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::idempotent;
use sqlx::PgPool;

#[idempotent]
async fn pay(_: State<PgPool>, body: String) -> String {
    body
}

fn app(pool: PgPool) -> Router {
    Router::new().route("/payments", post(pay)).with_state(pool)
}

fn main() {
    drop(app);
}
