use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;

use crate::engine::TransactionSlot;
use crate::handle::Tx;
use crate::http::response::Problem;
use crate::store::StoreDatabase;

impl<S: Sync, DB: StoreDatabase> FromRequestParts<S> for Tx<DB> {
    type Rejection = Response;

    /// The transaction is not begun yet; the slot that it is put into is among the request's extensions.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        if let Some(slot) = parts.extensions.get::<Arc<TransactionSlot<DB::Transaction>>>() {
            return Ok(Self::new(Arc::clone(slot)));
        }
        tracing::error!("a `Tx` was asked for by a handler without `#[idempotent(transaction)]`");
        Err(Problem::NoReservation.into_response(None))
    }
}
