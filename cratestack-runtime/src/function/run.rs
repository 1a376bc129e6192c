use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tracing::{Span, error, warn};

use super::error::GuardError;
use super::outcome::is_whole;
use crate::engine::{
    Answer, AttemptFuture, Hold, Leased, Limit, OwnedClaim, Participant, Policy, RunSteps, TransactionalRun,
};
use crate::handle::{EventKind, Happening, Idempotency, Options, ReservationSlot};
use crate::store::{IdempotencyRecord, RecordIdRef, StoreError};

/// A call whose body is about to run, or whose result is about to be told.
pub(super) struct GuardedFunction {
    pub(super) idempotency: Idempotency,
    pub(super) name: &'static str,
    pub(super) options: Options,
    pub(super) claim: OwnedClaim,
    pub(super) policy: Policy,
    pub(super) slot: ReservationSlot,
    /// Where the body writes in a transaction.
    pub(super) participant: Option<Arc<dyn Participant<()>>>,
}

/// What one run of a body is given.
pub struct Run {
    slot: ReservationSlot,
    /// What the body's own log lines are found by.
    pub(super) span: Span,
}

impl Run {
    fn new(slot: &ReservationSlot, hold: Option<&Hold>) -> Self {
        Self { slot: slot.clone(), span: slot.begin(hold) }
    }

    /// Where an argument finds the reservation.
    pub fn slot(&self) -> &ReservationSlot {
        &self.slot
    }
}

/// Makes one attempt, as often as it is called: once, but in a transaction that is run again.
pub(super) type Attempts = Box<dyn FnMut(Run) -> AttemptFuture<()> + Send>;

/// How a call has ended that is no error of the guard's.
pub(super) enum Ended {
    /// The body ran, and whoever ran it has its result.
    Ran,
    /// It ran before.
    Replay(Arc<IdempotencyRecord>),
}

impl GuardedFunction {
    /// How long the body may take, where it has a transaction.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.participant.is_some().then_some(self.claim.lease)
    }

    /// Has the body run, where it has not run before. Past its deadline, a transaction is ended after this `grace`.
    pub(super) async fn run(self, mut attempts: Attempts, grace: Duration) -> Result<Ended, GuardError> {
        let Self { idempotency, name, options, claim, policy, slot, participant } = self;
        let id = claim.id.clone();
        let observe = idempotency.observer();
        let engine = idempotency.engine();
        let answered = if let Some(participant) = participant {
            let work = Box::new(move |hold: Option<&Hold>| attempts(Run::new(&slot, hold)));
            let options = options.transaction(claim.lease + grace);
            let run = TransactionalRun { options, claim: Some(claim), policy, observe: Box::new(observe), work };
            participant.run(engine, run).await
        } else {
            let work = move |hold: Option<&Hold>, steps: Option<RunSteps>| {
                if let Some(steps) = steps {
                    slot.keep_steps(steps);
                }
                attempts(Run::new(&slot, hold))
            };
            engine.run(Leased::over(engine), Some(claim), policy, observe, work).await
        };
        ended(answered, &idempotency, id.as_ref(), name)
    }
}

/// What the caller is told. What the engine did not see as a transition is told to whoever watches.
fn ended(
    answered: Answer<()>,
    idempotency: &Idempotency,
    id: RecordIdRef<'_>,
    function: &'static str,
) -> Result<Ended, GuardError> {
    let (kind, told) = match answered {
        Answer::Ran(()) => return Ok(Ended::Ran),
        Answer::Replay(record) if is_whole(&record) => {
            let status = StatusCode::from_u16(record.response_status).unwrap_or_default();
            let age = Some(record.created_at.elapsed().unwrap_or_default());
            idempotency.tell(&Happening { age, ..Happening::of(id, EventKind::Replayed { status }) });
            return Ok(Ended::Replay(record));
        }
        Answer::Replay(record) => {
            // Once it is put right, that should be seen.
            idempotency.forget(&record.principal_fingerprint, &record.key);
            error!(function, "damaged idempotency record: it does not hold a function's result");
            (Some(EventKind::Damaged), GuardError::Damaged { function })
        }
        Answer::InFlight => (Some(EventKind::InFlight), GuardError::InFlight { function }),
        Answer::Conflict => (Some(EventKind::Conflict), GuardError::Conflict { function }),
        Answer::Overloaded(limit) => {
            let bound = match limit {
                Limit::MaxRunning => "max_running",
                Limit::MaxPendingBytes => "max_pending_bytes",
            };
            warn!(function, bound, "an idempotent function was not run: a bound of its `Idempotency` is met");
            (Some(EventKind::Overloaded), GuardError::Overloaded { function, bound })
        }
        Answer::Lost => (None, GuardError::Lost { function }),
        Answer::Panicked => (None, GuardError::Panicked { function }),
        Answer::Unavailable(StoreError::Codec(what)) => {
            error!(function, what, "damaged idempotency record");
            (Some(EventKind::Damaged), GuardError::Damaged { function })
        }
        Answer::Unavailable(error) => {
            error!(function, %error, "idempotency key not reserved, function not run");
            (Some(EventKind::Unavailable), GuardError::StoreUnavailable { function, error })
        }
        Answer::Unknown(error) => {
            error!(function, %error, "it is not known whether an idempotent function's transaction was committed");
            (Some(EventKind::Unknown), GuardError::OutcomeUnknown { function, error })
        }
        Answer::TimedOut => {
            error!(function, "an idempotent function's transaction did not end within its lease and was rolled back");
            (None, GuardError::TimedOut { function })
        }
        Answer::RolledBack(error) => {
            warn!(function, %error, "an idempotent function's transaction was rolled back");
            (None, GuardError::RolledBack { function, error })
        }
        Answer::Refused(error) => {
            error!(function, %error, "an idempotent function's transaction cannot be committed and was rolled back");
            (None, GuardError::Refused { function, error })
        }
    };
    if let Some(kind) = kind {
        idempotency.tell(&Happening::of(id, kind));
    }
    Err(told)
}
