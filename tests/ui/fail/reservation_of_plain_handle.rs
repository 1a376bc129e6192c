use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, Reservation, idempotent};
use sqlx::Postgres;

#[idempotent]
async fn pay(reservation: Reservation<Postgres>) -> String {
    reservation.key().to_owned()
}

fn app(store: PostgresStore) -> Router {
    Router::new().route("/pay", post(pay)).with_state(Idempotency::new(store))
}

fn main() {
    let _ = app;
}
