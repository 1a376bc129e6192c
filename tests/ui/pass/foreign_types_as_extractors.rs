#![deny(warnings)]

use axum::extract::{FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
}

/// A state of one's own makes an extractor of any type.
impl FromRequestParts<App> for bool {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, _: &App) -> Result<Self, StatusCode> {
        Ok(true)
    }
}

impl FromRequestParts<App> for String {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        Ok(app.name.to_owned())
    }
}

#[idempotent]
async fn pay(name: String, is_admin: bool) -> String {
    format!("{name} {is_admin}")
}

#[idempotent(state = App)]
async fn with_state(name: String, is_admin: bool) -> String {
    format!("{name} {is_admin}")
}

fn main() {
    let _: Router<App> = Router::new().route("/0", post(pay)).route("/1", post(with_state));
}
