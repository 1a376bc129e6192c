use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;

use super::request::{Applicability, GuardedRequest, NoReservation, NoReservationReason};
use super::respond::{EarlyResponder, Responder};
use crate::handle::{Idempotency, ReservationSlot};
use crate::http::identity::{BodyTap, RequestHasher, RequestIdentity, parse_key, tapped};
use crate::http::response::{ProblemKind, Representation};

/// What a request has said before anybody has looked at it but this library. Its handle need not be known yet.
pub(crate) struct RequestHead {
    representation: Representation,
    applicability: Applicability,
    /// Where there is something to guard: it has seen all that comes before the body.
    hasher: Option<RequestHasher>,
    /// Whether the handle has yet to say who the caller is.
    caller_is_default: bool,
}

impl RequestHead {
    /// Reads the key, and puts what a `Reservation` looks for among the request's extensions. `keyed_by_arguments` is
    /// whether the key comes from the arguments.
    ///
    /// All that the guard compares is read here, because extractors may change what the request says. Only a function
    /// of the handle's own that tells the caller sees what they have left, where the handle is known after them.
    pub(crate) fn read(parts: &mut Parts, keyed_by_arguments: bool, handle: Option<&Idempotency>) -> Self {
        let representation = Representation::asked_for_by(&parts.headers);
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let guarded = |key| {
            let slot = ReservationSlot::default();
            let function = handle.and_then(|handle| handle.http().principal.as_deref());
            let identity = RequestIdentity::of(parts, key, function);
            Ok((Applicability::Guarded(Box::new(identity), slot.clone()), slot))
        };
        let judged = if parts.method.is_safe() {
            Err((Applicability::NotNeeded, NoReservationReason::SafeMethod))
        } else if keyed_by_arguments {
            guarded(None)
        } else {
            match parse_key(&parts.headers) {
                Ok(Some(key)) => guarded(Some(key)),
                Ok(None) => Err((Applicability::KeyMissing, NoReservationReason::NoKey(ProblemKind::KeyMissing))),
                Err(error) => {
                    let reason = NoReservationReason::NoKey(ProblemKind::KeyInvalid(error));
                    Err((Applicability::KeyMalformed(error), reason))
                }
            }
        };
        let (applicability, hasher, slot) = match judged {
            Ok((applicability, slot)) => (applicability, Some(RequestHasher::of(parts)), Ok(slot)),
            Err((applicability, reason)) => {
                let responder = EarlyResponder { idempotency: handle.cloned(), representation };
                (applicability, None, Err(NoReservation { reason, responder }))
            }
        };
        parts.extensions.insert(slot);
        Self { representation, applicability, hasher, caller_is_default: handle.is_none() }
    }

    /// The handle is known: from here on it answers. Gives the request back for what is left of the extractors, its body
    /// still unread. `body_limit` is the attribute's bound on it, where 0 is none.
    pub(crate) fn under(
        self,
        idempotency: Idempotency,
        request: Request,
        body_limit: usize,
    ) -> (ArrivingRequest, Request) {
        let Self { representation, mut applicability, hasher, caller_is_default } = self;
        let responder = Responder { idempotency, representation };
        let settings = responder.idempotency.http();
        let (mut parts, body) = request.into_parts();
        if caller_is_default {
            if let Some(Err(none)) = parts.extensions.get_mut::<Result<ReservationSlot, NoReservation>>() {
                none.responder.idempotency = Some(responder.idempotency.clone());
            }
            if let (Applicability::Guarded(identity, _), Some(identify)) =
                (&mut applicability, settings.principal.as_deref())
            {
                identity.identify(&parts, identify);
            }
        }
        let (request, body) = match hasher {
            Some(hasher) => {
                let own_limit = (body_limit > 0).then_some(body_limit);
                let limit = own_limit.or(settings.max_request_bytes);
                let (request, tap) = tapped(Request::from_parts(parts, body), limit, hasher);
                (request, Some(tap))
            }
            None => (Request::from_parts(parts, body), None),
        };
        (ArrivingRequest { request: GuardedRequest { responder, applicability, participant: None }, body }, request)
    }
}

/// A request under its handle, whose body its extractors have yet to look at. Nothing of it has been read.
pub(crate) struct ArrivingRequest {
    request: GuardedRequest,
    /// Where there is something to guard.
    body: Option<BodyTap>,
}

impl ArrivingRequest {
    /// Reads the key under a handle that is known already; gives the request back for the extractors.
    pub(crate) fn prepare(
        idempotency: Idempotency,
        request: Request,
        keyed_by_arguments: bool,
        body_limit: usize,
    ) -> (Self, Request) {
        let (mut parts, body) = request.into_parts();
        let head = RequestHead::read(&mut parts, keyed_by_arguments, Some(&idempotency));
        head.under(idempotency, Request::from_parts(parts, body), body_limit)
    }

    /// The extractors have let the request pass: the rest of its body is read.
    pub(crate) async fn admit(self) -> Result<GuardedRequest, Response> {
        let Self { mut request, body } = self;
        if let Some(body) = body {
            let read = body.read_on().await;
            let request_hash = read.map_err(|error| request.responder.refuse(error.into()))?;
            if let Some(identity) = request.identity() {
                identity.request_hash = request_hash;
            }
        }
        Ok(request)
    }

    /// An extractor has rejected the request; where that is because its body is not what it should be, ours is the
    /// answer.
    pub(crate) fn reject(self, rejection: Response) -> Response {
        match self.body.and_then(|body| body.problem()) {
            Some(error) => self.request.responder.refuse(error.into()),
            None => rejection,
        }
    }

    /// The guard answers in the handler's place.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn refuse(self, problem: ProblemKind) -> Response {
        self.request.responder.refuse(problem)
    }
}
