#[idempotent(handle = self.idempotency, name = "charge", key = (order.id, &order.currency), fingerprint = order.amount, ttl = "24h")]
#[tracing::instrument]
pub async fn charge(&self, mut order: Order, reservation: Reservation) -> Result<Receipt, ChargeError> {
    #![allow(unused)]
    order.seal();
    self.provider.charge(&order, reservation.derive("charge")).await
}
