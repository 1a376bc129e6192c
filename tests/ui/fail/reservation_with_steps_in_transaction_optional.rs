use cratestack_runtime::{Reservation, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction, optional)]
async fn pay(reservation: Option<Reservation>, _: Tx<Postgres>) -> String {
    reservation.map_or_else(String::new, |reservation| reservation.key().to_owned())
}

fn main() {}
