    #[idempotent]
    #[tracing::instrument]
    async fn pay(body: String) -> String {
        body
    }
