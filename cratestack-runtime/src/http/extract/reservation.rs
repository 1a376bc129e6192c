use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::handle::{Reservation, ReservationSlot};
use crate::http::guard::{NoReservation, NoReservationReason};
use crate::http::response::{Problem, ProblemKind};

impl<S: Sync> FromRequestParts<S> for Reservation {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let NoReservation { reason, responder } = match parts.extensions.get::<Result<_, NoReservation>>() {
            Some(Ok(slot)) => return Ok(Self::of(slot)),
            Some(Err(none)) => none,
            None => {
                tracing::error!("a `Reservation` was asked for by a handler without `#[idempotent]`");
                return Err(Problem::without_handle(ProblemKind::NoReservation, &parts.headers).into_response());
            }
        };
        Err(responder.refuse(match reason {
            NoReservationReason::NoKey(problem) => *problem,
            NoReservationReason::SafeMethod => {
                tracing::error!(
                    "a `Reservation` was asked for by a safe method, which reserves nothing: take `Option<Reservation>`"
                );
                ProblemKind::NoReservation
            }
        }))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Reservation {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        let slot = parts.extensions.get::<Result<ReservationSlot, NoReservation>>();
        Ok(slot.and_then(|slot| slot.as_ref().ok()).map(Self::of))
    }
}
