use cratestack_runtime::idempotent;

struct Receipt;

struct Shop<T>(T);

impl<T> Shop<T> {
    #[idempotent]
    async fn pay() -> Result<Receipt, String> {
        Ok(Receipt)
    }
}

fn main() {}
