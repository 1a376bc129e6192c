//! What the handlers are doing, told to every open page as it happens.

use std::convert::Infallible;

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{
    StreamExt as _,
    stream::{self, Stream},
};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::Shop;

/// `None` ends the streams: a graceful shutdown waits for every connection.
#[derive(Clone)]
pub(crate) struct Events(broadcast::Sender<Option<Step>>);

/// A request, named by the page, gets this far.
#[derive(Clone, Serialize)]
pub(super) struct Step {
    pub(super) request: String,
    pub(super) step: &'static str,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(1024))
    }

    pub(super) fn tell(&self, step: Step) {
        // An error means that nobody looks.
        let _ = self.0.send(Some(step));
    }

    pub(crate) fn close(&self) {
        let _ = self.0.send(None);
    }
}

#[derive(Serialize)]
struct Hello {
    process: u32,
    database: &'static str,
    keys: Option<&'static str>,
}

pub(super) async fn stream(State(shop): State<Shop>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let hello = Hello { process: std::process::id(), database: shop.ledger.name(), keys: shop.keys };
    // The page comes back as soon as a new process listens.
    let hello = message("hello", &hello).retry(std::time::Duration::from_millis(150));
    let steps = stream::unfold(shop.events.0.subscribe(), |mut steps| async move {
        loop {
            match steps.recv().await {
                Ok(Some(step)) => return Some((message("step", &step), steps)),
                Err(RecvError::Lagged(_)) => {}
                Ok(None) | Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(stream::iter([hello]).chain(steps).map(Ok)).keep_alive(KeepAlive::default())
}

fn message(kind: &str, data: &impl Serialize) -> Event {
    Event::default().event(kind).json_data(data).unwrap_or_default()
}
