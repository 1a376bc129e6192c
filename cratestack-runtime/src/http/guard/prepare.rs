use axum::extract::Request;
use axum::response::Response;

use super::request::{Applicability, GuardedRequest, NoReservation, NoReservationReason};
use super::respond::Responder;
use crate::handle::{Idempotency, ReservationSlot};
use crate::http::identity::{BodyBound, BodyTap, RequestIdentity, parse_key, tapped};
use crate::http::response::{ProblemKind, Representation};

/// A request of which nothing has been looked at but its head. Nothing of its body has been read.
pub(crate) struct ArrivingRequest {
    request: GuardedRequest,
    /// Where there is something to guard.
    body: Option<BodyTap>,
}

/// Where a request's key is.
pub(crate) enum KeySource {
    /// In its `Idempotency-Key`.
    Header,
    /// In the handler's arguments, which are yet to be extracted.
    Arguments,
    /// Here: it was made of the request's head, and comes to nothing where it is `None`.
    Given(Option<String>),
}

impl ArrivingRequest {
    /// Reads the key; gives the request back for the extractors, its body still unread. The attribute says whether the
    /// key comes from the arguments, and its bound on the body, where 0 is none.
    pub(crate) fn prepare(
        idempotency: Idempotency,
        request: Request,
        keyed_by_arguments: bool,
        body_limit: usize,
    ) -> (Self, Request) {
        let own_limit = (body_limit > 0).then_some(body_limit);
        let bound = match own_limit.or(idempotency.http().max_request_bytes) {
            Some(bytes) => BodyBound::InPlaceOfAxum(bytes),
            None => BodyBound::OfAxum,
        };
        let source = if keyed_by_arguments { KeySource::Arguments } else { KeySource::Header };
        Self::of(idempotency, request, source, bound)
    }

    /// The same for any door.
    pub(crate) fn of(
        idempotency: Idempotency,
        mut request: Request,
        source: KeySource,
        bound: BodyBound,
    ) -> (Self, Request) {
        let responder = Responder { idempotency, representation: Representation::asked_for_by(request.headers()) };
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let applicability = if request.method().is_safe() {
            Applicability::NotNeeded
        } else {
            match source {
                KeySource::Arguments => return Self::guarded(responder, request, None, bound),
                KeySource::Given(Some(key)) => return Self::guarded(responder, request, Some(key), bound),
                KeySource::Given(None) => Applicability::KeyMissing(ProblemKind::KeyAbsent),
                KeySource::Header => match parse_key(request.headers()) {
                    Ok(Some(key)) => return Self::guarded(responder, request, Some(key), bound),
                    Ok(None) => Applicability::KeyMissing(ProblemKind::KeyMissing),
                    Err(error) => Applicability::KeyMalformed(error),
                },
            }
        };
        let reason = match applicability {
            Applicability::KeyMissing(problem) => NoReservationReason::NoKey(problem),
            Applicability::KeyMalformed(error) => NoReservationReason::NoKey(ProblemKind::KeyInvalid(error)),
            Applicability::NotNeeded | Applicability::Guarded(..) => NoReservationReason::SafeMethod,
        };
        let above = guard_above(&request);
        // A guard above has a key all the same, and whoever asks for the reservation has that one.
        if above.is_none() || !matches!(applicability, Applicability::KeyMissing(_)) {
            let none = NoReservation { reason, responder: responder.clone() };
            request.extensions_mut().insert(Err::<ReservationSlot, _>(none));
        }
        (Self { request: GuardedRequest { responder, applicability, above, participant: None }, body: None }, request)
    }

    fn guarded(responder: Responder, request: Request, key: Option<String>, bound: BodyBound) -> (Self, Request) {
        let above = guard_above(&request);
        let (request, tap) = tapped(request, bound);
        let (mut parts, body) = request.into_parts();
        let slot = ReservationSlot::of(&responder.idempotency);
        parts.extensions.insert(Ok::<_, NoReservation>(slot.clone()));
        let identity = RequestIdentity::of(&parts, key, responder.idempotency.http().principal.as_deref());
        let applicability = Applicability::Guarded(Box::new(identity), slot);
        let request = GuardedRequest { responder, applicability, above, participant: None };
        (Self { request, body: Some(tap) }, Request::from_parts(parts, body))
    }

    /// The request on its way, for what else is known of it before its body is read.
    pub(crate) fn request(&mut self) -> &mut GuardedRequest {
        &mut self.request
    }

    /// The extractors have let the request pass: the rest of its body is read.
    pub(crate) async fn admit(self) -> Result<GuardedRequest, Response> {
        let Self { mut request, body } = self;
        if let Some(body) = body {
            let read = body.read_on().await;
            let request_hash = read.map_err(|error| request.responder.refuse(error.into()))?;
            if let Some(identity) = request.identity().filter(|identity| !identity.has_own_fingerprint) {
                identity.request_hash = request_hash;
            }
        }
        Ok(request)
    }

    /// What becomes of the request does not depend on its body, which is left to whoever takes it.
    pub(crate) fn unread(self) -> GuardedRequest {
        self.request
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

/// The guard that this request runs under already: that of a layer, or of a handler that has handed it on.
fn guard_above(request: &Request) -> Option<ReservationSlot> {
    let above = request.extensions().get::<Result<ReservationSlot, NoReservation>>()?.as_ref().ok()?;
    above.running_under().is_some().then(|| above.clone())
}
