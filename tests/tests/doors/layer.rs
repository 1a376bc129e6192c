//! The layer: around a handler that is not annotated, and around one that is.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use cratestack_runtime::{Idempotency, IdempotencyLayer, OnStoreError, Reservation};

use crate::door::{Door, Outcome, Terms};
use crate::work::{Failure, Work};
use crate::{handler, web};

async fn bare(State(work): State<Work>, reservation: Reservation, _payload: String) -> Result<String, Failure> {
    Ok(work.run(&reservation).await?.to_string())
}

fn layer(idempotency: Idempotency, terms: Terms) -> IdempotencyLayer {
    let layer = IdempotencyLayer::new(idempotency);
    match terms {
        Terms::Plain => layer,
        Terms::ErrorsRecorded => layer.record_all(),
        Terms::Waits => layer.wait(Duration::from_secs(60)),
        Terms::RunsWithoutStore => layer.on_store_error(OnStoreError::Run),
    }
}

#[derive(Clone)]
pub struct Layer(Router);

impl Door for Layer {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        Self(Router::new().route("/work", post(bare)).layer(layer(idempotency, terms)).with_state(work))
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        web::call(&self.0, principal, key, payload).await
    }
}

/// The attribute below the layer, which guards for both.
#[derive(Clone)]
pub struct LayerOverHandler(Router);

impl Door for LayerOverHandler {
    fn open(idempotency: Idempotency, work: Work, terms: Terms) -> Self {
        // The attribute alone says which errors are recorded.
        let own = if terms == Terms::ErrorsRecorded { Terms::Plain } else { terms };
        Self(handler::router(idempotency.clone(), work, terms).layer(layer(idempotency, own)))
    }

    async fn call(&self, principal: &str, key: &str, payload: &str) -> Outcome {
        web::call(&self.0, principal, key, payload).await
    }
}
