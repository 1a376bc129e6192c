#[idempotent(handle = h)]
async fn pay(Extension(h): Extension<Idempotency>) {}
