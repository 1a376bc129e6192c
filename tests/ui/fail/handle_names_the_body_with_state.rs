use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone)]
struct App;

struct Document {
    idempotency: Idempotency,
}

impl FromRequest<App> for Document {
    type Rejection = StatusCode;

    async fn from_request(_: Request, _: &App) -> Result<Self, StatusCode> {
        Err(StatusCode::BAD_REQUEST)
    }
}

#[idempotent(handle = document.idempotency, state = App)]
async fn pay(document: Document) {
    let _ = document.idempotency;
}

fn main() {}
