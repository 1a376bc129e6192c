use std::any::type_name;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::handle::{Reservation, ReservationKind, ReservationSlot};
use crate::http::guard::{NoReservation, NoReservationReason};
use crate::http::response::{Problem, ProblemKind};

/// Among a request's extensions where its handler runs in a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunsInTransaction;

impl<S: Sync, K: ReservationKind> FromRequestParts<S> for Reservation<K> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let NoReservation { reason, responder } = match parts.extensions.get::<Result<_, NoReservation>>() {
            Some(Ok(slot)) => return of::<K>(slot, parts),
            Some(Err(none)) => none,
            None => {
                tracing::error!("a `Reservation` was asked for by a handler without `#[idempotent]`");
                return Err(no_reservation(parts));
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

impl<S: Sync, K: ReservationKind> OptionalFromRequestParts<S> for Reservation<K> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        match parts.extensions.get::<Result<ReservationSlot, NoReservation>>() {
            Some(Ok(slot)) => of::<K>(slot, parts).map(Some),
            _ => Ok(None),
        }
    }
}

/// The compiler has seen to it where the handler's signature spells the type; here an alias may have hidden it.
// It is the extractor's own rejection.
#[allow(clippy::result_large_err)]
fn of<K: ReservationKind>(slot: &ReservationSlot, parts: &Parts) -> Result<Reservation<K>, Response> {
    if K::HAS_STEPS && parts.extensions.get::<RunsInTransaction>().is_some() {
        tracing::error!(
            "a `Reservation` with steps was asked for by a handler with `transaction`, whose whole run is one commit: take \
             `Reservation<InTransaction>`"
        );
        return Err(no_reservation(parts));
    }
    if !slot.serves::<K>() {
        tell_of_no_transactions(type_name::<Reservation<K>>());
        return Err(no_reservation(parts));
    }
    Ok(Reservation::of(slot))
}

/// A `Reservation` was asked for, and the handle cannot do what it promises.
pub(super) fn tell_of_no_transactions(reservation: &str) {
    tracing::error!(
        reservation,
        "a `Reservation` was asked for whose steps are transactions of a database that the handle has no store in: make the \
         handle with `Idempotency::transactional`, over a store in that database, or take `Reservation`"
    );
}

fn no_reservation(parts: &Parts) -> Response {
    Problem::without_handle(ProblemKind::NoReservation, &parts.headers).into_response()
}
