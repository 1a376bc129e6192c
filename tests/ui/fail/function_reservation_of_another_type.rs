use cratestack_runtime::{GuardError, Idempotency, idempotent};

struct Reservation;

#[idempotent(name = "charge", handle = handle, key = order)]
async fn charge(handle: &Idempotency, order: u64, reservation: Reservation) -> Result<u64, GuardError> {
    drop(reservation);
    Ok(order)
}

fn main() {}
