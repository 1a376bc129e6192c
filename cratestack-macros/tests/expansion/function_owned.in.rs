#[idempotent(name = "charge", handle = handle, key = order, record = all)]
async fn charge(handle: Idempotency, Order { order, .. }: Order) -> Outcome {
    Ok(order)
}
