use cratestack_runtime::{InTransaction, Reservation, idempotent};

#[idempotent]
async fn pay(reservation: Reservation<InTransaction>) -> String {
    reservation.key().to_owned()
}

fn main() {}
