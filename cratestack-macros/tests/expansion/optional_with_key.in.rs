#[idempotent(optional, key = req.id, fingerprint = (&req.currency, (amount, req.amount)))]
async fn pay(Path((ref amount, &currency)): Path<(u64, &'static str)>, Json(req): Json<CreatePayment>) -> StatusCode {
    req.settle(amount, currency).await
}
