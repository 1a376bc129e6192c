use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;

use super::request::{Applicability, GuardedRequest, NoReservation, NoReservationReason};
use super::respond::{EarlyResponder, Responder};
use crate::handle::{Idempotency, ReservationSlot};
use crate::http::identity::{
    BodyBound, BodyPlace, BodySlot, BodyTap, RequestHasher, RequestIdentity, parse_key, tapped,
};
use crate::http::response::{ProblemKind, Representation};
use crate::util::ShortText;

/// Where a request's key is.
pub(crate) enum KeySource {
    /// In its `Idempotency-Key`.
    Header,
    /// In the handler's arguments, which are yet to be extracted.
    Arguments,
    /// Here: it was made of the request's head, and comes to nothing where it is `None`.
    Given(Option<String>),
}

impl KeySource {
    /// Of a handler whose attribute says whether the arguments have the key.
    pub(crate) fn of(keyed_by_arguments: bool) -> Self {
        if keyed_by_arguments { Self::Arguments } else { Self::Header }
    }
}

/// What a request has said before anybody has looked at it but this library. Its handle need not be known yet.
pub(crate) struct RequestHead {
    representation: Representation,
    applicability: Applicability,
    /// Under whose reservation the request runs already.
    above: Option<ReservationSlot>,
    /// Where there is something to guard: where its body is put.
    body: Option<BodyPlace>,
    /// Whether the handle is known only after some of the extractors have run.
    awaits_handle: bool,
}

impl RequestHead {
    /// Reads the key, and puts what a `Reservation` looks for among the request's extensions.
    ///
    /// All that the guard compares is read here, because extractors may change what the request says. Only a function
    /// of the handle's own that tells the caller sees what they have left, where the handle is known after them.
    pub(crate) fn read(parts: &mut Parts, source: KeySource, handle: Option<&Idempotency>) -> Self {
        let representation = Representation::asked_for_by(&parts.headers);
        let above = guard_above(parts);
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let (applicability, body) = match key(parts, source) {
            Ok(key) => {
                let principal = handle.and_then(|handle| handle.http().principal.as_deref());
                let identity = RequestIdentity::of(parts, key, principal);
                let (slot, body) = ReservationSlot::beside(handle, BodySlot::after(RequestHasher::of(parts)));
                (Applicability::Guarded(identity, slot), Some(body))
            }
            Err(applicability) => (applicability, None),
        };
        let early = || EarlyResponder { idempotency: handle.cloned(), representation };
        let slot = match &applicability {
            Applicability::Guarded(_, slot) => Some(Ok(slot.clone())),
            Applicability::NotNeeded => Some(Err(NoReservationReason::SafeMethod)),
            // A guard above has a key all the same, and whoever asks for the reservation has that one.
            Applicability::KeyMissing(_) if above.is_some() => None,
            Applicability::KeyMissing(problem) => Some(Err(NoReservationReason::NoKey(*problem))),
            Applicability::KeyMalformed(error) => {
                Some(Err(NoReservationReason::NoKey(ProblemKind::KeyInvalid(*error))))
            }
        };
        if let Some(slot) = slot {
            parts.extensions.insert(slot.map_err(|reason| NoReservation { reason, responder: early() }));
        }
        Self { representation, applicability, above, body, awaits_handle: handle.is_none() }
    }

    /// The handle is known: from here on it answers. Gives the request back for what is left of the extractors, its body
    /// still unread.
    pub(crate) fn under(
        self,
        idempotency: Idempotency,
        request: Request,
        bound: BodyBound,
    ) -> (ArrivingRequest, Request) {
        let Self { representation, mut applicability, above, body: place, awaits_handle } = self;
        let (mut parts, body) = request.into_parts();
        if awaits_handle {
            if let Some(Err(none)) = parts.extensions.get_mut::<Result<ReservationSlot, NoReservation>>() {
                none.responder.idempotency = Some(idempotency.clone());
            }
            if let Applicability::Guarded(identity, slot) = &mut applicability {
                slot.belongs_to(&idempotency);
                if let Some(identify) = idempotency.http().principal.as_deref() {
                    identity.identify(&parts, identify);
                }
            }
        }
        let request = Request::from_parts(parts, body);
        let (request, body) = match place {
            Some(place) => {
                let (request, tap) = tapped(request, bound, place);
                (request, Some(tap))
            }
            None => (request, None),
        };
        let responder = Responder { idempotency, representation };
        (
            ArrivingRequest { request: GuardedRequest { responder, applicability, above, participant: None }, body },
            request,
        )
    }
}

/// The key of a request that can be guarded, `None` where the arguments have it; or why the request cannot.
// It is taken apart where it is made.
#[allow(clippy::result_large_err)]
fn key(parts: &Parts, source: KeySource) -> Result<Option<ShortText>, Applicability> {
    if parts.method.is_safe() {
        return Err(Applicability::NotNeeded);
    }
    match source {
        KeySource::Arguments => Ok(None),
        KeySource::Given(Some(key)) => Ok(Some(key.into())),
        KeySource::Given(None) => Err(Applicability::KeyMissing(ProblemKind::KeyAbsent)),
        KeySource::Header => match parse_key(&parts.headers) {
            Ok(Some(key)) => Ok(Some(key)),
            Ok(None) => Err(Applicability::KeyMissing(ProblemKind::KeyMissing)),
            Err(error) => Err(Applicability::KeyMalformed(error)),
        },
    }
}

/// How many bytes of a request's body are read, where the attribute's own bound is `body_limit` and 0 is none.
pub(crate) fn body_bound(idempotency: &Idempotency, body_limit: usize) -> BodyBound {
    let own_limit = (body_limit > 0).then_some(body_limit);
    match own_limit.or(idempotency.http().max_request_bytes) {
        Some(bytes) => BodyBound::InPlaceOfAxum(bytes),
        None => BodyBound::OfAxum,
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
        let bound = body_bound(&idempotency, body_limit);
        Self::of(idempotency, request, KeySource::of(keyed_by_arguments), bound)
    }

    /// The same for any door.
    pub(crate) fn of(
        idempotency: Idempotency,
        request: Request,
        source: KeySource,
        bound: BodyBound,
    ) -> (Self, Request) {
        let (mut parts, body) = request.into_parts();
        let head = RequestHead::read(&mut parts, source, Some(&idempotency));
        head.under(idempotency, Request::from_parts(parts, body), bound)
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

    /// The type of a `Reservation` among the arguments for which the handle, which was not known then, cannot do what it
    /// promises.
    pub(crate) fn unmet_need(&self) -> Option<&'static str> {
        match &self.request.applicability {
            Applicability::Guarded(_, slot) => slot.unmet_need(),
            _ => None,
        }
    }

    /// The guard answers in the handler's place.
    pub(crate) fn refuse(self, problem: ProblemKind) -> Response {
        self.request.responder.refuse(problem)
    }
}

/// The guard that this request runs under already: that of a layer, or of a handler that has handed it on.
fn guard_above(parts: &Parts) -> Option<ReservationSlot> {
    let above = parts.extensions.get::<Result<ReservationSlot, NoReservation>>()?.as_ref().ok()?;
    above.running_under().is_some().then(|| above.clone())
}
