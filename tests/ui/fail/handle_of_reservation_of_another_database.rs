use axum::extract::State;
use cratestack_runtime::{Idempotency, SqliteStore, Reservation, idempotent};
use sqlx::Postgres;

#[derive(Clone)]
struct App {
    idempotency: Idempotency<SqliteStore>,
}

#[idempotent(handle = app.idempotency)]
async fn pay(reservation: Option<Reservation<Postgres>>, State(app): State<App>, body: String) -> String {
    let _ = (reservation, app.idempotency);
    body
}

fn main() {}
