use cratestack_runtime::idempotent;

trait Api {
    fn pay(body: String) -> impl Future<Output = String> + Send;
}

struct Shop;

impl Api for Shop {
    #[idempotent]
    async fn pay(body: String) -> String {
        body
    }
}

fn main() {}
