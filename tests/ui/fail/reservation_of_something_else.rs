use cratestack_runtime::{Reservation, idempotent};

#[idempotent(state = cratestack_runtime::Idempotency)]
async fn pay(reservation: Reservation<u32>) -> String {
    reservation.key().to_owned()
}

fn main() {}
