#[idempotent(name = "ship", handle = carrier.idempotency, key = parcel.id)]
fn ship(carrier: &Carrier, parcel: Parcel) -> impl Future<Output = Result<(), Failed>> + Send {
    carrier.ship(parcel)
}
