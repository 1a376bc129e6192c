//! Makes a payment slow enough to be watched, and crashes on demand.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

use super::events::{Events, Step};

/// How long a handler works before its effect, and again after it.
const PACE: Duration = Duration::from_millis(500);

/// What the page asks of one run. It says so in headers, which are no part of what must match on a retry.
pub(super) struct Stage {
    events: Events,
    request: String,
    pace: Duration,
    crash: bool,
    runs: AtomicBool,
    /// A step was done, and not skipped.
    did: AtomicBool,
}

impl<S: Send + Sync> FromRequestParts<S> for Stage
where
    Events: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let pace = header(&parts.headers, "shop-pace").and_then(|pace| pace.parse().ok());
        Ok(Self {
            events: Events::from_ref(state),
            request: header(&parts.headers, "shop-request").unwrap_or_default().to_owned(),
            pace: pace.map_or(PACE, |pace| Duration::from_millis(pace).min(PACE)),
            crash: header(&parts.headers, "shop-crash").is_some(),
            runs: AtomicBool::new(false),
            did: AtomicBool::new(false),
        })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Stage {
    pub(super) async fn before_the_charge(&self) {
        self.runs.store(true, Ordering::Relaxed);
        self.tell("runs");
        tokio::time::sleep(self.pace).await;
    }

    pub(super) async fn after_the_charge(&self) {
        self.tell("charged");
        self.take_time_and_crash().await;
        self.finish();
    }

    /// A step's closure has run.
    pub(super) fn did(&self, step: &'static str) {
        self.did.store(true, Ordering::Relaxed);
        self.tell(step);
    }

    pub(super) async fn between_charge_and_shipment(&self) {
        self.tell_if_skipped("charge-skipped");
        self.take_time_and_crash().await;
    }

    pub(super) async fn after_the_shipment(&self) {
        self.tell_if_skipped("shipment-skipped");
        tokio::time::sleep(self.pace / 2).await;
        self.finish();
    }

    fn tell_if_skipped(&self, skipped: &'static str) {
        if !self.did.swap(false, Ordering::Relaxed) {
            self.tell(skipped);
        }
    }

    async fn take_time_and_crash(&self) {
        tokio::time::sleep(self.pace).await;
        if self.crash {
            std::process::abort();
        }
    }

    fn finish(&self) {
        self.runs.store(false, Ordering::Relaxed);
        self.tell("finished");
    }

    fn tell(&self, step: &'static str) {
        self.events.tell(Step { request: self.request.clone(), step });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Without a guard, the run goes with the connection of a client that hangs up.
        if self.runs.load(Ordering::Relaxed) {
            self.tell("dropped");
        }
    }
}
