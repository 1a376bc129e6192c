#[idempotent(on_store_error = refuse, record = all, principal = "stripe")]
fn pay(body: String) -> BoxFuture<'static, Result<Response, ApiError>> {
    Box::pin(settle(body))
}
