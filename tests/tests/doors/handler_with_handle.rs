//! The attribute on an axum handler that names its handle, on a router without a state.

use axum::routing::post;
use axum::{Extension, Router};
use cratestack_runtime::{Idempotency, Reservation, idempotent};

use crate::door::{Door, Outcome, Terms};
use crate::web;
use crate::work::{Failure, Work};

#[derive(Clone)]
struct App {
    idempotency: Idempotency,
    work: Work,
}

#[idempotent(handle = app.idempotency, record = success)]
async fn plain(reservation: Reservation, Extension(app): Extension<App>, _payload: String) -> Result<String, Failure> {
    Ok(app.work.run(&reservation).await?.to_string())
}

#[idempotent(handle = app.idempotency)]
async fn errors_recorded(
    reservation: Reservation,
    Extension(app): Extension<App>,
    _payload: String,
) -> Result<String, Failure> {
    Ok(app.work.run(&reservation).await?.to_string())
}

#[idempotent(handle = app.idempotency, wait = "1m")]
async fn waits(reservation: Reservation, Extension(app): Extension<App>, _payload: String) -> Result<String, Failure> {
    Ok(app.work.run(&reservation).await?.to_string())
}

#[idempotent(handle = app.idempotency, on_store_error = run)]
async fn runs_without_store(
    reservation: Reservation,
    Extension(app): Extension<App>,
    _payload: String,
) -> Result<String, Failure> {
    Ok(app.work.run(&reservation).await?.to_string())
}

pub fn router(idempotency: Idempotency, work: Work, terms: Terms) -> Router {
    let handler = match terms {
        Terms::Plain => post(plain),
        Terms::ErrorsRecorded => post(errors_recorded),
        Terms::Waits => post(waits),
        Terms::RunsWithoutStore => post(runs_without_store),
    };
    Router::new().route("/work", handler).layer(Extension(App { idempotency, work }))
}

#[derive(Clone)]
pub struct HandlerWithHandle(Router);

impl Door for HandlerWithHandle {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        Self(router(idempotency, work, terms))
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        web::call(&self.0, principal, key, payload).await
    }
}
