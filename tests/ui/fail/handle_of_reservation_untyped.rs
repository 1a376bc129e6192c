use axum::extract::State;
use cratestack_runtime::{Idempotency, Reservation, idempotent};
use sqlx::Postgres;

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(handle = app.idempotency)]
async fn pay(reservation: Reservation<Postgres>, State(app): State<App>, body: String) -> String {
    let _ = (reservation, app.idempotency);
    body
}

fn main() {}
