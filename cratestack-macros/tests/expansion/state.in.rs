#[idempotent(state = App)]
async fn pay(State(app): State<App>, body: String) -> impl IntoResponse {
    app.pay(body)
}
