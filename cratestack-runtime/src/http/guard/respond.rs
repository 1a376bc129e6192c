use std::sync::Arc;

use axum::response::Response;
use tracing::{error, warn};

use crate::engine::{Answer, Limit};
use crate::handle::{Event, EventKind, Idempotency, Subject};
use crate::http::response::{Damaged, Problem, replay};
use crate::store::StoreError;

/// The response to whatever became of the request. What the engine did not see as a step is told here.
pub(super) fn respond(idempotency: &Idempotency, answered: Answer<Response>, subject: &Subject) -> Response {
    let (kind, problem) = match answered {
        Answer::Ran(response) => return response,
        Answer::Replay(record) => match replay(Arc::clone(&record)) {
            Ok(response) => {
                let kind = EventKind::Replayed { status: response.status() };
                let age = Some(record.created_at.elapsed().unwrap_or_default());
                idempotency.tell(&Event { age, ..subject.event(kind) });
                return response;
            }
            Err(Damaged(what)) => {
                // Once it is put right, that should be seen.
                idempotency.forget(&record.principal_fingerprint, &record.key);
                error!(what, "damaged idempotency record");
                (Some(EventKind::Damaged), Problem::RecordDamaged)
            }
        },
        Answer::InFlight => (Some(EventKind::InFlight), Problem::RequestInFlight),
        Answer::Conflict => (Some(EventKind::Conflict), Problem::KeyConflict),
        Answer::Overloaded(limit) => {
            let setting = match limit {
                Limit::MaxRunning => "max_running",
                Limit::MaxPendingBytes => "max_pending_bytes",
            };
            warn!(setting, "an idempotent request was refused: a bound of its `Idempotency` is met");
            (Some(EventKind::Overloaded), Problem::Overloaded)
        }
        Answer::Lost => (None, Problem::ReservationLost),
        Answer::Panicked => (None, Problem::HandlerPanicked),
        Answer::Unavailable(StoreError::Codec(what)) => {
            error!(what, "damaged idempotency record");
            (Some(EventKind::Damaged), Problem::RecordDamaged)
        }
        Answer::Unavailable(failure) => {
            error!(error = %failure, "idempotency key not reserved, request refused");
            (Some(EventKind::Unavailable), Problem::StoreUnavailable)
        }
        Answer::Unknown(failure) => {
            error!(error = %failure, "it is not known whether an idempotent handler's transaction was committed");
            (Some(EventKind::Unknown), Problem::OutcomeUnknown)
        }
        Answer::TimedOut => {
            error!("an idempotent handler's transaction did not end within its lease and was rolled back");
            (None, Problem::TransactionTimedOut)
        }
        Answer::RolledBack(failure) => {
            warn!(error = %failure, "an idempotent handler's transaction was rolled back");
            (None, Problem::TransactionRolledBack)
        }
        Answer::Refused(failure) => {
            error!(error = %failure, "an idempotent handler's transaction cannot be committed and was rolled back");
            (None, Problem::TransactionRefused)
        }
    };
    if let Some(kind) = kind {
        idempotency.tell(&subject.event(kind));
    }
    refuse(idempotency, problem)
}

/// The answer to a request that the guard itself answers.
pub(super) fn refuse(idempotency: &Idempotency, problem: Problem) -> Response {
    problem.into_response(idempotency.http().documentation_url.as_deref())
}
