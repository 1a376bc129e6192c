use std::sync::Arc;

use axum::response::Response;
use tracing::{error, warn};

use crate::engine::{Answer, Limit};
use crate::handle::{EventKind, Idempotency, Subject};
use crate::http::response::{Damaged, Problem, replay};
use crate::store::StoreError;

/// The response to whatever became of the request. What the engine did not see as a step is told here.
pub(super) fn respond(idempotency: &Idempotency, answered: Answer<Response>, subject: &Subject) -> Response {
    let tell = |kind| idempotency.tell(&subject.event(kind));
    let problem = match answered {
        Answer::Ran(response) => return response,
        Answer::Replay(record) => {
            let created_at = record.created_at;
            match replay(Arc::clone(&record)) {
                Ok(response) => {
                    let kind = EventKind::Replayed { status: response.status() };
                    idempotency.tell(&subject.event(kind).since(created_at));
                    return response;
                }
                Err(Damaged(what)) => {
                    // Once it is put right, that should be seen.
                    idempotency.forget(&record.principal_fingerprint, &record.key);
                    error!(what, "damaged idempotency record");
                    tell(EventKind::Damaged);
                    Problem::RecordDamaged
                }
            }
        }
        Answer::InFlight => {
            tell(EventKind::InFlight);
            Problem::RequestInFlight
        }
        Answer::Conflict => {
            tell(EventKind::Conflict);
            Problem::KeyConflict
        }
        Answer::Overloaded(limit) => {
            let setting = match limit {
                Limit::MaxRunning => "max_running",
                Limit::MaxPendingBytes => "max_pending_bytes",
            };
            warn!(setting, "an idempotent request was refused: a bound of its `Idempotency` is met");
            tell(EventKind::Overloaded);
            Problem::Overloaded
        }
        Answer::Lost => Problem::ReservationLost,
        Answer::Panicked => Problem::HandlerPanicked,
        Answer::Unavailable(StoreError::Codec(what)) => {
            error!(what, "damaged idempotency record");
            tell(EventKind::Damaged);
            Problem::RecordDamaged
        }
        Answer::Unavailable(failure) => {
            error!(error = %failure, "idempotency key not reserved, request refused");
            tell(EventKind::Unavailable);
            Problem::StoreUnavailable
        }
        Answer::Unknown(failure) => {
            error!(error = %failure, "it is not known whether an idempotent handler's transaction was committed");
            tell(EventKind::Unknown);
            Problem::OutcomeUnknown
        }
        Answer::TimedOut => {
            error!("an idempotent handler's transaction did not end within its lease and was rolled back");
            Problem::TransactionTimedOut
        }
        Answer::RolledBack(failure) => {
            warn!(error = %failure, "an idempotent handler's transaction was rolled back");
            Problem::TransactionRolledBack
        }
        Answer::Refused(failure) => {
            error!(error = %failure, "an idempotent handler's transaction cannot be committed and was rolled back");
            Problem::TransactionRefused
        }
    };
    refuse(idempotency, problem)
}

/// The answer to a request that the guard itself answers.
pub(super) fn refuse(idempotency: &Idempotency, problem: Problem) -> Response {
    problem.into_response(idempotency.http().documentation_url.as_deref())
}
