use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tracing::{error, warn};

use crate::engine::{Answer, Limit};
use crate::handle::{EventKind, Happening, Idempotency};
use crate::http::response::{Damaged, Problem, ProblemKind, Replayed, Representation, Unrecorded, replay, shaped};
use crate::store::{RecordIdRef, StoreError};

/// How one request is answered: as its handle says, and in the form that it asks for.
#[derive(Clone)]
pub(crate) struct Responder {
    pub(super) idempotency: Idempotency,
    pub(super) representation: Representation,
}

/// The same while the handle may be unknown, because arguments from which it is taken are yet to be extracted.
#[derive(Clone)]
pub(crate) struct EarlyResponder {
    pub(super) idempotency: Option<Idempotency>,
    pub(super) representation: Representation,
}

impl EarlyResponder {
    /// The answer to a request that has no reservation. Without a handle it is as for one without settings.
    pub(crate) fn refuse(&self, problem: ProblemKind) -> Response {
        let Self { idempotency, representation } = self;
        match idempotency.clone() {
            Some(idempotency) => Responder { idempotency, representation: *representation }.refuse(problem),
            None => Problem::new(problem, None, *representation).into_response(),
        }
    }
}

/// What a handler ran under. It decides what is left of a run that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RanUnder {
    Reservation,
    Transaction,
    /// A transaction that nothing guards.
    TransactionWithoutKey,
}

impl Responder {
    /// The answer to a request that the guard itself answers.
    pub(crate) fn refuse(&self, problem: ProblemKind) -> Response {
        let settings = self.idempotency.http();
        let problem = Problem::new(problem, settings.documentation_url.clone(), self.representation);
        let mut response = shaped(problem, settings.problems.as_deref(), &settings.marks);
        // To a guard above it is no outcome.
        response.extensions_mut().insert(Unrecorded);
        response
    }

    /// The response to whatever became of the request. What the engine did not see as a step is told here.
    pub(super) fn respond(&self, answered: Answer<Response>, id: RecordIdRef<'_>, ran_under: RanUnder) -> Response {
        let idempotency = &self.idempotency;
        let (kind, problem) = match answered {
            Answer::Ran(response) => return response,
            Answer::Replay(record) => match replay(Arc::clone(&record), &idempotency.http().marks) {
                Ok(replayed) => {
                    let response = match replayed {
                        Replayed::Response(response) => response,
                        Replayed::Tombstone { original_status } => {
                            self.refuse(ProblemKind::ResponseNotReplayable { original_status })
                        }
                    };
                    let status = StatusCode::from_u16(record.response_status).unwrap_or_default();
                    let kind = EventKind::Replayed { status };
                    let age = Some(record.created_at.elapsed().unwrap_or_default());
                    idempotency.tell(&Happening { age, ..Happening::of(id, kind) });
                    return response;
                }
                Err(Damaged(what)) => {
                    // Once it is put right, that should be seen.
                    idempotency.forget(&record.principal_fingerprint, &record.key);
                    error!(what, "damaged idempotency record");
                    (Some(EventKind::Damaged), ProblemKind::RecordDamaged)
                }
            },
            Answer::InFlight => (Some(EventKind::InFlight), ProblemKind::RequestInFlight),
            Answer::Conflict => (Some(EventKind::Conflict), ProblemKind::KeyConflict),
            Answer::Overloaded(limit) => {
                let setting = match limit {
                    Limit::MaxRunning => "max_running",
                    Limit::MaxPendingBytes => "max_pending_bytes",
                };
                warn!(setting, "an idempotent request was refused: a bound of its `Idempotency` is met");
                (Some(EventKind::Overloaded), ProblemKind::Overloaded)
            }
            Answer::Lost => (None, ProblemKind::ReservationLost),
            Answer::Panicked if ran_under == RanUnder::Reservation => (None, ProblemKind::HandlerPanicked),
            Answer::Panicked => (None, ProblemKind::TransactionPanicked),
            Answer::Unavailable(StoreError::Codec(what)) => {
                error!(what, "damaged idempotency record");
                (Some(EventKind::Damaged), ProblemKind::RecordDamaged)
            }
            Answer::Unavailable(failure) => {
                error!(error = %failure, "idempotency key not reserved, request refused");
                (Some(EventKind::Unavailable), ProblemKind::StoreUnavailable)
            }
            Answer::Unknown(failure) => {
                error!(error = %failure, "it is not known whether an idempotent handler's transaction was committed");
                let problem = match ran_under {
                    RanUnder::TransactionWithoutKey => ProblemKind::OutcomeUnknownWithoutKey,
                    RanUnder::Transaction | RanUnder::Reservation => ProblemKind::OutcomeUnknown,
                };
                (Some(EventKind::Unknown), problem)
            }
            Answer::TimedOut => {
                error!("an idempotent handler's transaction did not end within its lease and was rolled back");
                (None, ProblemKind::TransactionTimedOut)
            }
            Answer::RolledBack(failure) => {
                warn!(error = %failure, "an idempotent handler's transaction was rolled back");
                (None, ProblemKind::TransactionRolledBack)
            }
            Answer::Refused(failure) => {
                error!(error = %failure, "an idempotent handler's transaction cannot be committed and was rolled back");
                (None, ProblemKind::TransactionRefused)
            }
        };
        if let Some(kind) = kind {
            idempotency.tell(&Happening::of(id, kind));
        }
        self.refuse(problem)
    }
}
