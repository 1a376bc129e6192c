#[idempotent(transaction, handle = app.idempotency, state = App)]
async fn pay(mut tx: Tx<Postgres>, State(app): State<App>, body: String) -> StatusCode {
    app.settle(&mut tx, body)
}
