use cratestack_runtime::{GuardError, Idempotency, Reservation, idempotent};

#[idempotent(name = "charge", handle = handle, key = reservation.key())]
async fn charge(handle: &Idempotency, order: u64, reservation: Reservation) -> Result<u64, GuardError> {
    drop(reservation);
    Ok(order)
}

fn main() {}
