#[idempotent(transaction, optional, state = App, key = req.id)]
async fn pay(mut tx: Tx<Sqlite>, Json(req): Json<CreatePayment>) -> StatusCode {
    req.settle(&mut tx).await
}
