use std::sync::Arc;

use axum::response::Response;

use super::respond::{EarlyResponder, Responder};
use crate::engine::Participant;
use crate::handle::{KeyPart, ReservationSlot};
use crate::http::identity::{KeyError, RequestIdentity};
use crate::http::response::ProblemKind;

/// One request on its way through the guard, between its extractors and its handler.
pub struct GuardedRequest {
    pub(super) responder: Responder,
    pub(super) applicability: Applicability,
    /// Under whose reservation the request runs already.
    pub(super) above: Option<ReservationSlot>,
    /// Where the handler runs in a transaction.
    pub(super) participant: Option<Arc<dyn Participant<Response>>>,
}

/// Whether there is anything to guard.
// There is one a request, and a box would only cost it an allocation.
#[allow(clippy::large_enum_variant)]
pub(super) enum Applicability {
    /// The method is safe.
    NotNeeded,
    /// There is none, which is this problem.
    KeyMissing(ProblemKind),
    KeyMalformed(KeyError),
    Guarded(RequestIdentity, ReservationSlot),
}

/// Why a request has no reservation. In a request's extensions there is a `Result<ReservationSlot, NoReservation>`.
#[derive(Clone)]
pub(crate) struct NoReservation {
    pub(crate) reason: NoReservationReason,
    /// How that is answered, where a handler cannot do without.
    pub(crate) responder: EarlyResponder,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum NoReservationReason {
    SafeMethod,
    NoKey(ProblemKind),
}

impl GuardedRequest {
    /// Its handler writes in a transaction of the participant's.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn in_transaction_of(mut self, participant: Arc<dyn Participant<Response>>) -> Self {
        self.participant = Some(participant);
        self
    }

    /// Whether there is anything to guard, and so any use for the attribute's expressions.
    pub fn is_guarded(&self) -> bool {
        matches!(self.applicability, Applicability::Guarded(..))
    }

    pub(super) fn identity(&mut self) -> Option<&mut RequestIdentity> {
        match &mut self.applicability {
            Applicability::Guarded(identity, _) => Some(identity),
            _ => None,
        }
    }

    /// `key = EXPR`
    pub fn key(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(identity) = self.identity() {
            identity.set_key(part);
        }
    }

    /// `principal = EXPR`
    pub fn principal(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(identity) = self.identity() {
            identity.set_principal(part);
        }
    }

    /// `fingerprint = EXPR`
    pub fn fingerprint(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(identity) = self.identity() {
            identity.set_fingerprint(part);
        }
    }

    /// Whether a request that could be guarded has come without a key.
    pub fn lacks_key(&self) -> bool {
        matches!(&self.applicability, Applicability::Guarded(identity, _) if identity.key.is_none())
    }
}
