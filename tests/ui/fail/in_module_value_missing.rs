mod handlers {
    use axum::http::StatusCode;
    use cratestack_runtime::idempotent;

    #[idempotent]
    pub async fn pay(amount: String) -> StatusCode {
        amount.len();
    }
}

fn main() {}
