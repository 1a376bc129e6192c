    #[idempotent(handle = self.idempotency, optional, state = App)]
    async fn pay<T: Send>(self, tenant: Tenant<T>, body: String) -> StatusCode {
        self.settle(tenant, body)
    }
