//! The attribute on an axum handler.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use cratestack_runtime::{Idempotency, Reservation, idempotent};

use crate::door::{Door, Outcome, Terms};
use crate::web;
use crate::work::{Failure, Work};

#[derive(Clone, FromRef)]
pub struct App {
    pub idempotency: Idempotency,
    pub work: Work,
}

#[idempotent(record = success)]
async fn plain(State(work): State<Work>, reservation: Reservation, _payload: String) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

#[idempotent]
async fn errors_recorded(
    State(work): State<Work>,
    reservation: Reservation,
    _payload: String,
) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

#[idempotent(wait = "1m")]
async fn waits(State(work): State<Work>, reservation: Reservation, _payload: String) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

#[idempotent(on_store_error = run)]
async fn runs_without_store(
    State(work): State<Work>,
    reservation: Reservation,
    _payload: String,
) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

pub fn router(idempotency: Idempotency, work: Work, terms: Terms) -> Router {
    let handler = match terms {
        Terms::Plain => post(plain),
        Terms::ErrorsRecorded => post(errors_recorded),
        Terms::Waits => post(waits),
        Terms::RunsWithoutStore => post(runs_without_store),
    };
    Router::new().route("/work", handler).with_state(App { idempotency, work })
}

#[derive(Clone)]
pub struct Handler(Router);

impl Door for Handler {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        Self(router(idempotency, work, terms))
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        web::call(&self.0, principal, key, payload).await
    }
}
