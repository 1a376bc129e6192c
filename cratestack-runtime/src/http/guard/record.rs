use axum::response::Response;
use http::StatusCode;
use tracing::warn;

use crate::engine::{AttemptFuture, Disposition, Failure, Outcome, Settled};
use crate::handle::{FailureCause, Idempotency, Recorded, ReservationSlot};
use crate::http::response::{Captured, Unrecorded, capture, encode_headers, harmless, tombstone};
use crate::http::work::Work;
use crate::store::MAX_BODY_BYTES;

/// Makes of a handler's response what is to be recorded of it.
#[derive(Clone)]
pub(super) struct ResponseRecorder {
    pub(super) idempotency: Idempotency,
    pub(super) recorded: Recorded,
    pub(super) slot: ReservationSlot,
}

impl ResponseRecorder {
    pub(super) fn settling(self, handler: Work) -> AttemptFuture<Response> {
        Box::pin(async move { self.settle(handler.await).await })
    }

    pub(super) async fn settle(self, mut response: Response) -> Settled<Response> {
        #[cfg(feature = "testing")]
        crate::http::CrashPoint::reached(&self.idempotency).await;
        let settings = self.idempotency.http();
        settings.marks.remove_from(response.headers_mut());
        let unrecorded = response.extensions_mut().remove::<Unrecorded>().is_some();
        // A guard below says which outcomes are kept.
        let recorded = response.extensions_mut().remove::<Recorded>().unwrap_or(self.recorded);
        let failure = failure(&mut response);
        let status = response.status();
        let is_unfinished = status.as_u16() >= 400 && self.slot.is_unfinished(status.is_server_error());
        if unrecorded || is_unfinished || !is_recorded(recorded, status) {
            return Settled { disposition: Disposition::Release, reply: response.map(harmless), failure };
        }
        let bound = settings.max_response_bytes.unwrap_or(MAX_BODY_BYTES);
        let (outcome, reply) = match capture(response, bound).await {
            Captured::Whole(head, body) => {
                let metadata = settings.omitted_headers.encode(head.headers());
                let outcome = Outcome { code: status.as_u16(), metadata, body: body.clone() };
                (outcome, head.map(|()| body.into()))
            }
            Captured::Unkept(reply, why) => {
                warn!(
                    ?why,
                    status = status.as_u16(),
                    "idempotent response cannot be replayed; a retry is answered 409"
                );
                let (head, body) = tombstone(status.as_u16(), settings.documentation_url.clone()).into_parts();
                let metadata = encode_headers(&head.headers);
                (Outcome { code: head.status.as_u16(), metadata, body: body.into() }, reply)
            }
        };
        Settled { disposition: Disposition::Record(outcome), reply, failure }
    }
}

fn is_recorded(recorded: Recorded, status: StatusCode) -> bool {
    match recorded {
        Recorded::All => true,
        Recorded::Success => status.is_success() || status.is_redirection(),
        Recorded::AllBut5xx => !status.is_server_error(),
    }
}

/// How a handler tells what a 5xx of its was caused by.
const SHOW_THE_CAUSE: &str =
    "return an error that implements `std::error::Error` and has the `sqlx::Error` among its sources";

/// What a response says about a failure of its handler.
fn failure(response: &mut Response) -> Option<Failure> {
    // Where the handler's error told it.
    let cause = response.extensions_mut().remove::<FailureCause>();
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match cause {
        Some(FailureCause::Transient) => Failure::Transient,
        None if status.is_server_error() => Failure::Unknown { remedy: SHOW_THE_CAUSE },
        Some(FailureCause::Other) | None => Failure::Deliberate,
    })
}
