use axum::extract::FromRef;
use cratestack_runtime::{Idempotency, Reservation, idempotent};
use sqlx::Postgres;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
}

#[idempotent(state = App)]
async fn pay(reservation: Reservation<Postgres>) -> String {
    reservation.key().to_owned()
}

fn main() {}
