/// Pays.
#[idempotent(ttl = "24h", lease = "30s")]
#[tracing::instrument]
pub async fn pay(State(app): State<App>, Json(req): Json<CreatePayment>) -> Result<Json<Payment>, ApiError> {
    app.pay(req).await
}
