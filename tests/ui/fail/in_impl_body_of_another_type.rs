use cratestack_runtime::idempotent;

struct Shop<T>(T);

impl<T> Shop<T> {
    #[idempotent]
    async fn pay() -> Result<String, String> {
        Ok(7)
    }
}

fn main() {}
