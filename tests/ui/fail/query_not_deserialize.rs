use axum::extract::Query;
use cratestack_runtime::idempotent;

struct Filter(u64);

#[idempotent]
async fn pay(Query(filter): Query<Filter>, body: String) {
    let _ = (filter.0, body);
}

fn main() {}
