use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use sqlx::Sqlite;

#[idempotent(transaction, isolation = serialisable)]
async fn pay(tx: Tx<Sqlite>) {
    let _ = tx;
}

fn main() {
    let _: Router<Idempotency<SqliteStore>> = Router::new().route("/", post(pay));
}
