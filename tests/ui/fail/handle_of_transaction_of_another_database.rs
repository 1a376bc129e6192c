use axum::extract::State;
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent};
use sqlx::Postgres;

#[derive(Clone)]
struct App {
    idempotency: Idempotency<SqliteStore>,
}

#[idempotent(transaction, handle = app.idempotency)]
async fn pay(tx: Tx<Postgres>, State(app): State<App>, body: String) {
    let _ = (tx, app.idempotency, body);
}

fn main() {}
