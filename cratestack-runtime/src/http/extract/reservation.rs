use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use http::request::Parts;

use crate::handle::{Reservation, ReservationSlot};
use crate::http::guard::NoReservation;
use crate::http::response::Problem;

impl<S: Sync> FromRequestParts<S> for Reservation {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match parts.extensions.get::<Result<ReservationSlot, NoReservation>>() {
            Some(Ok(slot)) => return Ok(Self::of(slot)),
            Some(Err(NoReservation::NoKey(problem))) => return Err(problem.into_response(None)),
            Some(Err(NoReservation::SafeMethod)) => tracing::error!(
                "a `Reservation` was asked for by a safe method, which reserves nothing: take `Option<Reservation>`"
            ),
            None => tracing::error!("a `Reservation` was asked for by a handler without `#[idempotent]`"),
        }
        Err(Problem::NoReservation.into_response(None))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Reservation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        let slot = parts.extensions.get::<Result<ReservationSlot, NoReservation>>();
        Ok(slot.and_then(|slot| slot.as_ref().ok()).map(Self::of))
    }
}
