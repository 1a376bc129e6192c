#[idempotent(handle = app.idempotency, state = Arc<App>)]
async fn pay(State(app): State<Arc<App>>, reservation: Option<Reservation<Postgres>>, body: String) -> String {
    body
}
