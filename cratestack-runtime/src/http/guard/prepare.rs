use axum::extract::Request;
use axum::response::Response;

use super::request::{Applicability, GuardedRequest, NoReservation, NoReservationReason};
use super::respond::Responder;
use crate::handle::{Idempotency, ReservationSlot};
use crate::http::identity::{BodyTap, RequestIdentity, parse_key, tapped};
use crate::http::response::{ProblemKind, Representation};

/// A request that its extractors have yet to look at. Nothing of its body has been read.
pub(crate) struct ArrivingRequest {
    request: GuardedRequest,
    /// Where there is something to guard.
    body: Option<BodyTap>,
}

impl ArrivingRequest {
    /// Reads the key; gives the request back for the extractors, its body still unread. The attribute says whether the
    /// key comes from the arguments, and its bound on the body, where 0 is none.
    pub(crate) fn prepare(
        idempotency: Idempotency,
        mut request: Request,
        keyed_by_arguments: bool,
        body_limit: usize,
    ) -> (Self, Request) {
        let responder = Responder { idempotency, representation: Representation::asked_for_by(request.headers()) };
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let (applicability, reason) = if request.method().is_safe() {
            (Applicability::NotNeeded, NoReservationReason::SafeMethod)
        } else if keyed_by_arguments {
            return Self::guarded(responder, request, None, body_limit);
        } else {
            match parse_key(request.headers()) {
                Ok(Some(key)) => return Self::guarded(responder, request, Some(key), body_limit),
                Ok(None) => (Applicability::KeyMissing, NoReservationReason::NoKey(ProblemKind::KeyMissing)),
                Err(error) => {
                    (Applicability::KeyMalformed(error), NoReservationReason::NoKey(ProblemKind::KeyInvalid(error)))
                }
            }
        };
        let none = NoReservation { reason, responder: responder.clone() };
        request.extensions_mut().insert(Err::<ReservationSlot, _>(none));
        (Self { request: GuardedRequest { responder, applicability, participant: None }, body: None }, request)
    }

    fn guarded(responder: Responder, request: Request, key: Option<String>, body_limit: usize) -> (Self, Request) {
        let settings = responder.idempotency.http();
        let own_limit = (body_limit > 0).then_some(body_limit);
        let (request, tap) = tapped(request, own_limit.or(settings.max_request_bytes));
        let (mut parts, body) = request.into_parts();
        let slot = ReservationSlot::over(responder.idempotency.engine());
        parts.extensions.insert(Ok::<_, NoReservation>(slot.clone()));
        let identity = RequestIdentity::of(&parts, key, settings.principal.as_deref());
        let applicability = Applicability::Guarded(Box::new(identity), slot);
        let request = GuardedRequest { responder, applicability, participant: None };
        (Self { request, body: Some(tap) }, Request::from_parts(parts, body))
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
}
