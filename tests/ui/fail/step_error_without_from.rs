use cratestack_runtime::{Reservation, idempotent};

#[idempotent]
async fn pay(reservation: Reservation) -> Result<String, String> {
    reservation.step("charge", async || Ok::<_, String>("ch_1".to_owned())).await
}

fn main() {}
