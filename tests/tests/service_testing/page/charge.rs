use cratestack_runtime::testing::Crash;

#[derive(Clone)]
struct Provider {
    crash: Crash, // made by `Crash::once()`, outside of what builds the router
}

impl Provider {
    async fn charge(&self, _amount: u32) {
        // … the charge is made …
        self.crash.here().await; // … and nobody hears of it
    }
}

#[tokio::test]
async fn the_first_who_comes_there_dies() {
    use axum::{Extension, Router, routing::post};
    use cratestack_runtime::{MemoryStore, idempotent, testing::Service};

    #[idempotent]
    async fn pay(Extension(provider): Extension<Provider>) {
        provider.charge(5).await;
    }

    let provider = Provider { crash: Crash::once() };
    let service = Service::new(MemoryStore::new(), move |idempotency| {
        Router::new().route("/", post(pay)).layer(Extension(provider.clone())).with_state(idempotency)
    });
    let payment = service.post("/").key("k1");
    payment.crash().await;
    service.lease_is_over().await;
    payment.twice().await;
}
