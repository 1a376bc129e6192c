//! What can be ordered by a header, which is no part of a request's fingerprint: to be held, to panic, to crash.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{FromRef, FromRequestParts, State};
use axum::routing::{get, post};
use http::request::Parts;
use tokio::sync::watch;

use crate::Till;

/// How far the handlers are that were told to wait.
#[derive(Clone, Copy, Default)]
struct Progress {
    held: usize,
    is_open: bool,
}

/// Handlers that are told to wait here, until somebody opens it.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<Progress>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }
}

/// `held: 1`, `panic: 1`, `crash: 1`.
pub(crate) struct Trouble {
    gate: Gate,
    held: bool,
    panic: bool,
    crash: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Trouble
where
    Gate: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let [held, panic, crash] = ["held", "panic", "crash"].map(|order| parts.headers.contains_key(order));
        Ok(Self { gate: Gate::from_ref(state), held, panic, crash })
    }
}

impl Trouble {
    pub(crate) async fn before_the_effect(&self) {
        if self.held {
            self.gate.0.send_modify(|progress| progress.held += 1);
            // The sender lives as long as `self`.
            let _ = self.gate.0.subscribe().wait_for(|progress| progress.is_open).await;
        }
    }

    pub(crate) fn after_the_effect(&self) {
        assert!(!self.panic, "asked to panic");
        if self.crash {
            std::process::abort();
        }
    }
}

/// How many handlers have been held.
async fn held(State(gate): State<Gate>) -> String {
    gate.0.borrow().held.to_string()
}

async fn open(State(gate): State<Gate>) {
    gate.0.send_modify(|progress| progress.is_open = true);
}

pub(crate) fn routes() -> Router<Till> {
    Router::new().route("/held", get(held)).route("/open", post(open))
}
