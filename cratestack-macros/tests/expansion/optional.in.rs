#[idempotent(optional, wait = "5s", record = success, on_store_error = run)]
async fn pay() -> StatusCode {
    StatusCode::CREATED
}
