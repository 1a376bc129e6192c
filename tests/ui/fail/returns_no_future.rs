use axum::http::StatusCode;
use cratestack_runtime::idempotent;

#[idempotent]
fn pay() -> StatusCode {
    StatusCode::CREATED
}

fn main() {}
