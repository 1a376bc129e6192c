//! Whether there is anything to guard, and by what name.
//!
//! Where a request runs under a guard already (a layer above a handler with the attribute, a handler that hands its
//! request on to a router), that one and this one must not both ask for one key: this one would find it in flight.
//!
//! ```text
//! same handle, same key, same caller     the guard above guards this run too, and takes over what it records
//! same, and this one is a transaction    it guards itself as well, under a key made of that one, because what it
//!                                        writes and its own record are one commit
//! another key, caller or handle          it guards itself as well: what it promises of its own key is not less
//! ```

use axum::response::Response;

use super::record::ResponseRecorder;
use super::request::{Applicability, GuardedRequest};
use super::respond::Responder;
use crate::engine::{Hold, OwnedClaim, Policy};
use crate::handle::{Options, ReservationSlot, record_id};
use crate::http::identity::{RequestIdentity, key_below};
use crate::http::response::ProblemKind;
use crate::store::RecordId;

/// What can be said of a request before its body is read.
pub(crate) enum Verdict {
    Unguarded,
    /// The guard above is this one's as well.
    Joined(ReservationSlot),
    Refused(ProblemKind),
    Guarded(RecordId),
}

/// What becomes of a request once its arguments are had.
// It is taken apart where it is made, so a box would only cost an allocation.
#[allow(clippy::large_enum_variant)]
pub(super) enum Decision {
    Unguarded {
        responder: Responder,
        /// The guard above records what comes of it.
        is_joined: bool,
    },
    Answered(Response),
    Guarded(GuardedRun),
}

/// A run of a handler under a claim, yet to be begun.
pub(super) struct GuardedRun {
    pub(super) responder: Responder,
    pub(super) claim: OwnedClaim,
    pub(super) policy: Policy,
    pub(super) slot: ReservationSlot,
    pub(super) recorder: ResponseRecorder,
}

/// The guard above: where its reservation is, and what that is.
#[derive(Clone, Copy)]
struct Above<'a> {
    slot: &'a ReservationSlot,
    hold: &'a Hold,
}

impl GuardedRequest {
    pub(crate) fn verdict(&self, options: &Options) -> Verdict {
        let above = self.above.as_ref().and_then(|slot| Some(Above { slot, hold: slot.running_under()? }));
        let (identity, slot) = match (&self.applicability, above) {
            (Applicability::NotNeeded, _) => return Verdict::Unguarded,
            (Applicability::KeyMissing(_), Some(above)) => return self.under(above),
            (Applicability::KeyMissing(_), None) if options.optional => return Verdict::Unguarded,
            (Applicability::KeyMissing(problem), None) => return Verdict::Refused(*problem),
            (Applicability::KeyMalformed(error), _) => return Verdict::Refused(ProblemKind::KeyInvalid(*error)),
            (Applicability::Guarded(identity, slot), _) => (identity, slot),
        };
        let Some(key) = &identity.key else {
            // An argument that still holds the reservation would panic when the handler uses it.
            if options.optional && !slot.is_lent() {
                return Verdict::Unguarded;
            }
            return Verdict::Refused(ProblemKind::KeyAbsent);
        };
        if let Some(above) = above.filter(|above| self.leaves_the_caller_to(*above, identity, key)) {
            return self.under(above);
        }
        let principal = match &identity.principal {
            Ok(principal) => principal,
            Err(why) => {
                why.log();
                return Verdict::Refused(ProblemKind::CallerUnknown);
            }
        };
        let id = record_id(self.responder.idempotency.settings().namespace.as_deref(), principal, key);
        let Some(above) = above else { return Verdict::Guarded(id) };
        if above.hold.claim.id == id {
            return self.under(above);
        }
        self.responder.idempotency.http().second_guard.stands_beside();
        Verdict::Guarded(id)
    }

    /// Whether it has the key of the guard above, and says nothing of its own about who calls.
    fn leaves_the_caller_to(&self, above: Above<'_>, identity: &RequestIdentity, key: &str) -> bool {
        let is_same_key = above.hold.claim.id.key() == key;
        is_same_key && !identity.has_own_principal && above.slot.is_of(&self.responder.idempotency)
    }

    /// The guard above has the key and the caller of this one.
    fn under(&self, above: Above<'_>) -> Verdict {
        let idempotency = &self.responder.idempotency;
        if self.participant.is_none() && above.slot.is_of(idempotency) {
            idempotency.http().second_guard.joins();
            return Verdict::Joined(above.slot.clone());
        }
        idempotency.http().second_guard.stands_beside();
        let id = &above.hold.claim.id;
        Verdict::Guarded(RecordId::new(id.principal(), &key_below(id.key())))
    }

    pub(super) fn decide(self, verdict: Verdict, options: &Options) -> Decision {
        let Self { responder, applicability, above, .. } = self;
        let id = match verdict {
            Verdict::Unguarded => return Decision::Unguarded { responder, is_joined: false },
            Verdict::Joined(above) => {
                if let Applicability::Guarded(_, slot) = applicability {
                    slot.join(&above);
                }
                return Decision::Unguarded { responder, is_joined: true };
            }
            Verdict::Refused(problem) => return Decision::Answered(responder.refuse(problem)),
            Verdict::Guarded(id) => id,
        };
        let (request_hash, slot) = match (applicability, above.as_ref().and_then(ReservationSlot::running_under)) {
            (Applicability::Guarded(identity, slot), _) => (identity.request_hash, slot),
            (_, Some(hold)) => (hold.claim.request_hash, ReservationSlot::of(&responder.idempotency)),
            (_, None) => return Decision::Answered(responder.refuse(ProblemKind::KeyMissing)),
        };
        let settings = responder.idempotency.settings();
        let claim = options.claim(settings, id, request_hash);
        let policy = options.policy(settings);
        let recorder = ResponseRecorder {
            idempotency: responder.idempotency.clone(),
            recorded: options.recorded,
            slot: slot.clone(),
        };
        Decision::Guarded(GuardedRun { responder, claim, policy, slot, recorder })
    }
}
