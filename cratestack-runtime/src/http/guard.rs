use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tracing::{error, warn};

use super::capture::{Captured, capture};
use super::fingerprint::short_hash;
use super::handle::Idempotency;
use super::headers::encode_headers;
use super::key::{self, KeyError};
use super::problem::Problem;
use super::replay::{Damaged, replay, tombstone};
use super::request::{buffer, is_safe};
use crate::engine::{Answer, OwnedClaim, Settled, Verdict};
use crate::store::StoreError;

/// The handler, boxed once: everything behind it is compiled once, in this crate, and not once per handler.
pub type Work = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What the attribute says, as the generated code hands it over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    ttl: Option<Duration>,
    lease: Option<Duration>,
    optional: bool,
}

impl Options {
    /// An attribute that says nothing.
    pub const fn new() -> Self {
        Self { ttl: None, lease: None, optional: false }
    }

    /// `ttl = "…"`
    #[must_use]
    pub const fn ttl_ms(mut self, milliseconds: u64) -> Self {
        self.ttl = Some(Duration::from_millis(milliseconds));
        self
    }

    /// `lease = "…"`
    #[must_use]
    pub const fn lease_ms(mut self, milliseconds: u64) -> Self {
        self.lease = Some(Duration::from_millis(milliseconds));
        self
    }

    /// `optional`
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// One request on its way through the guard, between its buffering and its handler.
#[derive(Debug)]
pub struct Call {
    idempotency: Idempotency,
    key: Key,
}

#[derive(Debug)]
enum Key {
    /// The method is safe.
    NotNeeded,
    Missing,
    Malformed(KeyError),
    Given {
        key: String,
        principal: Option<String>,
        request_hash: [u8; 32],
    },
}

impl Call {
    /// Reads the key and, where there is one, the body; gives the request back whole, for the extractors.
    pub(crate) async fn prepare(idempotency: Idempotency, request: Request) -> Result<(Self, Request), Response> {
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let key = match key::parse(request.headers()) {
            _ if is_safe(request.method()) => Key::NotNeeded,
            Ok(None) => Key::Missing,
            Err(mistake) => Key::Malformed(mistake),
            Ok(Some(key)) => {
                let settings = idempotency.settings();
                let (request, request_hash) = buffer(request, settings.max_request_bytes)
                    .await
                    .map_err(|problem| answer(&idempotency, problem))?;
                let (parts, body) = request.into_parts();
                let principal = (settings.identify)(&parts);
                let request = Request::from_parts(parts, body);
                return Ok((Self { idempotency, key: Key::Given { key, principal, request_hash } }, request));
            }
        };
        Ok((Self { idempotency, key }, request))
    }

    /// Guards the handler: everything between the extractors and the response.
    pub async fn run(self, options: Options, handler: Work) -> Response {
        let Self { idempotency, key } = self;
        let (key, principal, request_hash) = match key {
            Key::NotNeeded => return handler.await,
            Key::Missing if options.optional => return handler.await,
            Key::Missing => return answer(&idempotency, Problem::KeyMissing),
            Key::Malformed(mistake) => return answer(&idempotency, Problem::KeyInvalid(mistake)),
            Key::Given { key, principal, request_hash } => (key, principal, request_hash),
        };
        let Some(principal) = principal else {
            error!(
                "idempotency: a request has no verifiable caller and was refused. Serve the router with \
                 `into_make_service_with_connect_info::<SocketAddr>()`, or tell the caller with `Idempotency::identify`"
            );
            return answer(&idempotency, Problem::CallerUnknown);
        };
        let settings = idempotency.settings();
        let retention = options.ttl.unwrap_or(settings.ttl);
        let lease = options.lease.unwrap_or(settings.lease).min(retention);
        let names = Names { key: short_hash(&key), principal: short_hash(&principal) };
        let claim = OwnedClaim { principal, key, request_hash, lease, retention };
        let bound = settings.max_response_bytes;
        let documentation = settings.documentation.clone();
        let answered = idempotency
            .engine()
            .guard(claim, settings.store_timeout, move |_hold| async move {
                settle(handler.await, bound, documentation).await
            })
            .await;
        respond(&idempotency, answered, &names)
    }
}

/// Keys and principals as the log may show them.
struct Names {
    key: String,
    principal: String,
}

async fn settle(response: Response, bound: usize, documentation: Option<Arc<str>>) -> Settled<Response> {
    match capture(response, bound).await {
        Captured::Whole(head, body) => {
            let headers = encode_headers(head.headers());
            let verdict = Verdict::Record { status: head.status().as_u16(), headers, body: body.clone() };
            Settled { verdict, reply: head.map(|()| body.into()) }
        }
        Captured::Unkept(reply, why) => {
            warn!(?why, status = reply.status().as_u16(), "idempotent response cannot be replayed");
            let original_status = reply.status().as_u16();
            let (head, body) = tombstone(original_status, documentation.as_deref()).into_parts();
            let headers = encode_headers(&head.headers);
            Settled { verdict: Verdict::Record { status: head.status.as_u16(), headers, body: body.into() }, reply }
        }
    }
}

fn respond(idempotency: &Idempotency, answered: Answer<Response>, names: &Names) -> Response {
    let problem = match answered {
        Answer::Ran(response) => return response,
        Answer::Replay(record) => match replay(record) {
            Ok(response) => return response,
            Err(Damaged(what)) => return damaged(idempotency, what, names),
        },
        Answer::InFlight => Problem::RequestInFlight,
        Answer::Conflict => Problem::KeyConflict,
        Answer::Lost => Problem::ReservationLost,
        Answer::Panicked => {
            error!(key = names.key, principal = names.principal, "idempotent handler panicked; its key is free again");
            Problem::HandlerPanicked
        }
        Answer::Unavailable(StoreError::Codec(what)) => return damaged(idempotency, &what, names),
        Answer::Unavailable(failure) => {
            error!(error = %failure, "idempotency key not reserved, request refused");
            Problem::StoreUnavailable
        }
    };
    answer(idempotency, problem)
}

fn damaged(idempotency: &Idempotency, what: &str, names: &Names) -> Response {
    error!(
        key = names.key,
        principal = names.principal,
        what,
        "damaged idempotency record: it is neither replayed nor run again until it expires or is deleted by hand"
    );
    answer(idempotency, Problem::RecordDamaged)
}

fn answer(idempotency: &Idempotency, problem: Problem) -> Response {
    problem.into_response(idempotency.settings().documentation.as_deref())
}
