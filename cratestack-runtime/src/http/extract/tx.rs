use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;

use crate::engine::TransactionSlot;
use crate::handle::Tx;
use crate::http::response::Problem;
use crate::store::StoreDatabase;

/// Where a request's `Tx` finds its transaction; among the request's extensions.
pub(super) struct TxSlot<DB: StoreDatabase>(pub(super) Arc<TransactionSlot<DB::Transaction>>);

impl<DB: StoreDatabase> Clone for TxSlot<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Sync, DB: StoreDatabase> FromRequestParts<S> for Tx<DB> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        if let Some(TxSlot(slot)) = parts.extensions.get::<TxSlot<DB>>() {
            return Ok(Self::new(Arc::clone(slot)));
        }
        tracing::error!("a `Tx` was asked for by a handler without `#[idempotent(transaction)]`");
        Err(Problem::NoReservation.into_response(None))
    }
}
