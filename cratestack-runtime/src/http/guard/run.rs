use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use tracing::{Instrument, error};

use super::decide::{Decision, GuardedRun, Verdict};
use super::record::ResponseRecorder;
use super::request::GuardedRequest;
use super::respond::{RanUnder, Responder};
use crate::engine::{Answering, AttemptFuture, Hold, Leased, Policy, RunSteps, TransactionalRun};
use crate::handle::{Options, Recorded, ReservationSlot};
use crate::http::response::ProblemKind;
use crate::http::work::{Attempts, Work};
use crate::store::{RecordId, RecordIdRef};

impl GuardedRequest {
    /// Guards the handler: everything between the extractors and the response.
    ///
    /// It begins with the call, within a runtime.
    pub fn run(self, options: Options, handler: Work) -> GuardedResponse {
        let verdict = self.verdict(&options);
        self.run_as(verdict, options, handler)
    }

    /// The same, once the verdict is known.
    pub(crate) fn run_as(self, verdict: Verdict, options: Options, handler: Work) -> GuardedResponse {
        let GuardedRun { responder, claim, policy, slot, recorder } = match self.decide(verdict, &options) {
            Decision::Unguarded { is_joined: false, .. } => return GuardedResponse(Responding::Unguarded(handler)),
            Decision::Unguarded { is_joined: true, .. } => {
                return GuardedResponse(Responding::Joined(handler, options.recorded));
            }
            Decision::Answered(response) => return GuardedResponse(Responding::Known(Some(response))),
            Decision::Guarded(run) => run,
        };
        let id = claim.id.clone();
        let observe = responder.idempotency.observer();
        let work = move |hold: Option<&Hold>, steps: Option<RunSteps>| {
            // Whoever takes the reservation may stand behind a layer, or a router that the handler calls.
            if let Some(steps) = steps {
                slot.keep_steps(steps);
            }
            let span = slot.begin(hold);
            let running = slot.running();
            let run = async move {
                let response = handler.await;
                drop(running);
                recorder.settle(response).await
            };
            run.instrument(span)
        };
        let engine = responder.idempotency.engine();
        let answering = engine.run(Leased::over(engine), Some(claim), policy, observe, work);
        GuardedResponse(Responding::Running { answering, responder, id })
    }

    /// Runs the handler in a transaction: the one that claims its key and records its outcome, or, where nothing is
    /// guarded, one of its own.
    pub async fn run_in_transaction(self, options: Options, mut attempts: Attempts) -> Response {
        let Some(participant) = self.participant.clone() else {
            error!("a handler with `transaction` has no transaction to run in");
            return self.responder.refuse(ProblemKind::NoReservation);
        };
        let verdict = self.verdict(&options);
        let GuardedRun { responder, claim, policy, slot, recorder } = match self.decide(verdict, &options) {
            Decision::Unguarded { responder, .. } => {
                let idempotency = &responder.idempotency;
                // What would not be recorded of a guarded run is undone here too.
                let recorder = ResponseRecorder {
                    idempotency: idempotency.clone(),
                    recorded: options.recorded,
                    slot: ReservationSlot::default(),
                };
                let work = Box::new(move |_: Option<&Hold>| recorder.clone().settling(attempts.next()));
                // Nobody waits for a key here.
                let policy = Policy { store_timeout: Duration::MAX, wait: Duration::ZERO, run_unreserved: false };
                let options = options.transaction(options.lease(idempotency.settings()));
                let run = TransactionalRun { options, claim: None, policy, observe: Box::new(|_, _| {}), work };
                let answered = participant.run(idempotency.engine(), run).await;
                let nobody = RecordIdRef { principal: "", key: "" };
                return responder.respond(answered, nobody, RanUnder::TransactionWithoutKey);
            }
            Decision::Answered(response) => return response,
            Decision::Guarded(run) => run,
        };
        let id = claim.id.clone();
        let observe = Box::new(responder.idempotency.observer());
        let work = Box::new(move |hold: Option<&Hold>| {
            let span = slot.begin(hold);
            let settling = recorder.clone().settling(attempts.next()).instrument(span);
            Box::pin(settling) as AttemptFuture<Response>
        });
        let run =
            TransactionalRun { options: options.transaction(claim.lease), claim: Some(claim), policy, observe, work };
        let answered = participant.run(responder.idempotency.engine(), run).await;
        responder.respond(answered, id.as_ref(), RanUnder::Transaction)
    }
}

/// The response of a guarded handler, once it is there. A type with a name costs each handler neither a coroutine nor
/// a box.
pub struct GuardedResponse(Responding);

// It is a handler's future, which axum boxes.
#[allow(clippy::large_enum_variant)]
enum Responding {
    Unguarded(Work),
    /// The guard above records what comes of it.
    Joined(Work, Recorded),
    /// `None` once it was told.
    Known(Option<Response>),
    Running {
        answering: Answering<Response>,
        responder: Responder,
        id: RecordId,
    },
}

impl Future for GuardedResponse {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match &mut self.get_mut().0 {
            Responding::Unguarded(handler) => handler.as_mut().poll(cx),
            Responding::Joined(handler, recorded) => {
                handler.as_mut().poll(cx).map(|response| recorded_above(response, *recorded))
            }
            Responding::Known(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Responding::Running { answering, responder, id } => {
                let answer = ready!(Pin::new(answering).poll(cx));
                Poll::Ready(responder.respond(answer, id.as_ref(), RanUnder::Reservation))
            }
        }
    }
}

/// What a handler below another guard says of its outcomes, which that guard records: an error of its may have had its
/// effect. The innermost guard knows best.
fn recorded_above(mut response: Response, recorded: Recorded) -> Response {
    let extensions = response.extensions_mut();
    if extensions.get::<Recorded>().is_none() {
        extensions.insert(recorded);
    }
    response
}
