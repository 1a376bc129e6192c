use axum::extract::Path;
use cratestack_runtime::idempotent;

struct Id(u64);

#[idempotent]
async fn pay(Path(id): Path<Id>) {
    let _ = id.0;
}

fn main() {}
