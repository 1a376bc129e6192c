use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, isolation = "serializable")]
async fn pay(_: Tx<Postgres>) {}

fn main() {
    let _: Router<Idempotency<PostgresStore>> = Router::new().route("/", post(pay));
}
