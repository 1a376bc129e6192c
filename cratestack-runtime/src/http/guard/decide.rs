use axum::response::Response;

use super::record::ResponseRecorder;
use super::request::{Applicability, GuardedRequest};
use super::respond::Responder;
use crate::engine::{OwnedClaim, Policy};
use crate::handle::{Options, ReservationSlot, Subject, record_id};
use crate::http::identity::RequestIdentity;
use crate::http::response::ProblemKind;

/// What becomes of a request once its arguments are had.
// It is taken apart where it is made, so a box would only cost an allocation.
#[allow(clippy::large_enum_variant)]
pub(super) enum Decision {
    Unguarded(Responder),
    Answered(Response),
    Guarded(GuardedRun),
}

/// A run of a handler under a claim, yet to be begun.
pub(super) struct GuardedRun {
    pub(super) responder: Responder,
    pub(super) claim: OwnedClaim,
    pub(super) policy: Policy,
    pub(super) subject: Subject,
    pub(super) slot: ReservationSlot,
    pub(super) recorder: ResponseRecorder,
}

impl GuardedRequest {
    /// Whether there is anything to guard, and what.
    pub(super) fn decide(self, options: &Options) -> Decision {
        let Self { responder, applicability, .. } = self;
        let refused = |problem| Decision::Answered(responder.refuse(problem));
        let (identity, slot) = match applicability {
            Applicability::NotNeeded => return Decision::Unguarded(responder),
            Applicability::KeyMissing if options.optional => return Decision::Unguarded(responder),
            Applicability::KeyMissing => return refused(ProblemKind::KeyMissing),
            Applicability::KeyMalformed(error) => return refused(ProblemKind::KeyInvalid(error)),
            Applicability::Guarded(identity, slot) => (identity, slot),
        };
        let RequestIdentity { key, principal, request_hash, .. } = *identity;
        let Some(key) = key else {
            // An argument that still holds the reservation would panic when the handler uses it.
            if options.optional && !slot.is_lent() {
                return Decision::Unguarded(responder);
            }
            return refused(ProblemKind::KeyAbsent);
        };
        let principal = match principal {
            Ok(principal) => principal,
            Err(why) => {
                why.log();
                return refused(ProblemKind::CallerUnknown);
            }
        };
        let settings = responder.idempotency.settings();
        let id = record_id(settings.namespace.as_deref(), &principal, &key);
        let subject = Subject::of(id.as_ref());
        let claim = options.claim(settings, id, request_hash);
        let policy = options.policy(settings);
        let recorder = ResponseRecorder {
            idempotency: responder.idempotency.clone(),
            recorded: options.recorded,
            slot: slot.clone(),
        };
        Decision::Guarded(GuardedRun { responder, claim, policy, subject, slot, recorder })
    }
}
