#[idempotent(transaction)]
async fn pay(State(app): State<App>, mut tx: Tx<Postgres>, Json(req): Json<CreatePayment>) -> Result<Json<Payment>, ApiError> {
    app.pay(&mut tx, req).await
}
