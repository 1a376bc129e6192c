#[idempotent]
#[tokio::main]
async fn main() {}
