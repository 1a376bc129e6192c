use axum::response::Response;
use tracing::{Instrument, error};

use super::decide::{Decision, GuardedRun};
use super::execute::{Settling, run_leased};
use super::record::ResponseRecorder;
use super::request::GuardedRequest;
use super::respond::{refuse, respond};
use crate::engine::{Hold, Step, TransactionOptions};
use crate::handle::{EventKind, Idempotency, Options, Subject};
use crate::http::response::Problem;
use crate::http::work::{Attempts, Work};
use crate::store::RecordIdRef;

impl GuardedRequest {
    /// Guards the handler: everything between the extractors and the response.
    pub async fn run(self, options: Options, handler: Work) -> Response {
        let GuardedRun { idempotency, claim, policy, subject, slot, recorder } = match self.decide(&options) {
            Decision::Unguarded(_) => return handler.await,
            Decision::Answered(response) => return response,
            Decision::Guarded(run) => run,
        };
        let observe = observer(&idempotency, subject);
        let work = move |hold: &Hold| {
            slot.fill(hold.clone());
            let span = subject.span(hold);
            async move { recorder.settle(handler.await).await }.instrument(span)
        };
        let answered = run_leased(idempotency.engine(), claim, policy, observe, work).await;
        respond(&idempotency, answered, &subject)
    }

    /// Runs the handler in a transaction: the one that claims its key and records its outcome, or, where nothing is
    /// guarded, one of its own.
    pub async fn run_in_transaction(self, options: Options, mut attempts: Attempts) -> Response {
        let Some(participant) = self.participant.clone() else {
            error!("a handler with `transaction` has no transaction to run in");
            return refuse(&self.idempotency, Problem::NoReservation);
        };
        let terms = |lease| TransactionOptions {
            isolation: options.isolation,
            retries: options.retries,
            keep_all: options.commit_all,
            deadline: lease,
        };
        let GuardedRun { idempotency, claim, policy, subject, slot, recorder } = match self.decide(&options) {
            Decision::Unguarded(idempotency) => {
                let deadline = options.lease(idempotency.settings());
                let recorder = ResponseRecorder { idempotency: idempotency.clone(), success_only: false };
                let work = Box::new(move || recorder.clone().settling(attempts.next()));
                let answered = participant.unguarded(idempotency.engine(), terms(deadline), work).await;
                let nobody = RecordIdRef { principal: "", key: "" };
                return respond(&idempotency, answered, &Subject::of(nobody));
            }
            Decision::Answered(response) => return response,
            Decision::Guarded(run) => run,
        };
        let observe = Box::new(observer(&idempotency, subject));
        let work = Box::new(move |hold: &Hold| {
            slot.fill(hold.clone());
            let settling = recorder.clone().settling(attempts.next()).instrument(subject.span(hold));
            Box::pin(settling) as Settling
        });
        let terms = terms(claim.lease);
        let answered = participant.guarded(idempotency.engine(), claim, policy, terms, observe, work).await;
        respond(&idempotency, answered, &subject)
    }
}

fn observer(idempotency: &Idempotency, subject: Subject) -> impl Fn(Step, &Hold) + Send + Sync + 'static {
    let idempotency = idempotency.clone();
    move |step, hold| idempotency.tell(&subject.event(EventKind::from(step)).of_attempt(hold.attempt))
}
