use cratestack_runtime::idempotent;

#[derive(Clone)]
struct App;

#[idempotent(state = App)]
async fn pay() {}

fn main() {}
