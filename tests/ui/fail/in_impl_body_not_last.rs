use axum::http::Method;
use cratestack_runtime::idempotent;

struct Shop<T>(T);

impl<T> Shop<T> {
    #[idempotent]
    async fn pay(body: String, _: Method) -> String {
        body
    }
}

fn main() {}
