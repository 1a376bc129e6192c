use cratestack_runtime::idempotent;

use axum::extract::Query;

struct Page;

#[idempotent]
async fn pay(Query(_): Query<Page>) {}

fn main() {}
