#[idempotent]
#[idempotent]
#[tokio::test]
async fn pay() {}
