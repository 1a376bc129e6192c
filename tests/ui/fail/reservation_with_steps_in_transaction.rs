use cratestack_runtime::{Reservation, Tx, idempotent};
use sqlx::Postgres;

#[idempotent(transaction)]
async fn pay(reservation: Reservation, _: Tx<Postgres>) -> String {
    reservation.key().to_owned()
}

fn main() {}
