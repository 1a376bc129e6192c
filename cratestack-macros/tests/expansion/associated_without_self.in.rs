#[idempotent(key = body)]
async fn pay<const N: usize>(body: String) -> Self {
    Self::paid(body)
}
