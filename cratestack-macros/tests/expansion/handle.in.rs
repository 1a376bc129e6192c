#[idempotent(handle = app.idempotency, key = req.id, body_limit = 1024)]
pub async fn pay(State(app): State<App>, user: User, Json(req): Json<Request>) -> Response {
    app.settle(user, req)
}
