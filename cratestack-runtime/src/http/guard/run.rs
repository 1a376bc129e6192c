use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::{Method, Uri};
use tracing::{Instrument, error, warn};

use super::transaction::{Attempts, Cause, Participant, Settling};
use crate::engine::{
    Answer, Disposition, Failure, Hold, Limit, Outcome, OwnedClaim, Policy, Settled, Step, TransactionOptions,
};
use crate::handle::{
    EventKind, Idempotency, KeyPart, OnStoreError, Options, PartHasher, Presence, SHORTEST_LEASE, Slot, Subject,
    Vacancy, digest,
};
use crate::http::identity::principal::{MARK, Unidentified, caller, within};
use crate::http::identity::request::{is_safe, original_uri, tapped};
use crate::http::identity::{BodyTap, KeyError, key};
use crate::http::response::{
    Captured, Damaged, Problem, Unrecorded, capture, encode_headers, harmless, replay, tombstone, unmark,
};
use crate::store::{RecordId, StoreError};

/// The handler, boxed once: everything behind it is compiled once, in this crate, and not once per handler.
pub type Work = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A request that its extractors have yet to look at. Nothing of its body has been read.
#[derive(Debug)]
pub(crate) struct Arriving {
    call: Call,
    /// Where there is something to guard.
    body: Option<BodyTap>,
}

impl Arriving {
    /// The extractors have let the request pass: the rest of its body is read.
    pub(crate) async fn admit(self) -> Result<Call, Response> {
        let Self { mut call, body } = self;
        if let Some(body) = body {
            let request_hash = body.read_on().await.map_err(|problem| answer(&call.idempotency, problem))?;
            if let Some(subjects) = call.subjects() {
                subjects.request_hash = request_hash;
            }
        }
        Ok(call)
    }

    /// An extractor has rejected the request; where that is because its body is not what it should be, ours is the answer.
    pub(crate) fn reject(self, rejection: Response) -> Response {
        match self.body.and_then(|body| body.problem()) {
            Some(problem) => answer(&self.call.idempotency, problem),
            None => rejection,
        }
    }
}

/// One request on its way through the guard, between its extractors and its handler.
#[derive(Debug)]
pub struct Call {
    idempotency: Idempotency,
    standing: Standing,
    /// Where the handler runs in a transaction.
    participant: Option<Arc<dyn Participant>>,
}

#[derive(Debug)]
enum Standing {
    /// The method is safe.
    NotNeeded,
    KeyMissing,
    KeyMalformed(KeyError),
    Guarded(Box<Subjects>),
}

/// What is compared: as the request has it, until the attribute's expressions say otherwise.
#[derive(Debug)]
struct Subjects {
    key: Option<String>,
    principal: Result<String, Unidentified>,
    request_hash: [u8; 32],
    method: Method,
    uri: Uri,
    slot: Slot,
}

/// Where the attribute says that the key comes from, and its bound on the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intake {
    pub(crate) keyed_by_arguments: bool,
    pub(crate) body_limit: Option<usize>,
}

impl Intake {
    /// As the types of the extractors have it; a bound of 0 is none.
    pub(crate) fn new(keyed_by_arguments: bool, body_limit: usize) -> Self {
        Self { keyed_by_arguments, body_limit: (body_limit > 0).then_some(body_limit) }
    }
}

impl Call {
    /// Reads the key; gives the request back for the extractors, its body still unread.
    pub(crate) fn prepare(idempotency: Idempotency, mut request: Request, intake: Intake) -> (Arriving, Request) {
        // A key that is missing or malformed is judged after the extractors: who may not call at all learns that first.
        let vacant = if is_safe(request.method()) {
            Some((Standing::NotNeeded, Vacancy::SafeMethod))
        } else if intake.keyed_by_arguments {
            None
        } else {
            match key::parse(request.headers()) {
                Ok(Some(key)) => return Self::guarded(idempotency, request, Some(key), intake),
                Ok(None) => Some((Standing::KeyMissing, Vacancy::NoKey(Problem::KeyMissing))),
                Err(mistake) => Some((Standing::KeyMalformed(mistake), Vacancy::NoKey(Problem::KeyInvalid(mistake)))),
            }
        };
        let Some((standing, vacancy)) = vacant else { return Self::guarded(idempotency, request, None, intake) };
        request.extensions_mut().insert(Slot::Vacant(vacancy));
        (Arriving { call: Self { idempotency, standing, participant: None }, body: None }, request)
    }

    fn guarded(idempotency: Idempotency, request: Request, key: Option<String>, intake: Intake) -> (Arriving, Request) {
        let settings = idempotency.settings();
        let (request, tap) = tapped(request, intake.body_limit.or(settings.max_request_bytes));
        let (mut parts, body) = request.into_parts();
        let slot = Slot::default();
        parts.extensions.insert(slot.clone());
        let subjects = Subjects {
            key,
            principal: caller(settings.principal.as_deref(), &parts),
            // Known when the body is: nothing but `admit` lets go of the call.
            request_hash: [0; 32],
            method: parts.method.clone(),
            uri: original_uri(&parts).clone(),
            slot,
        };
        let standing = Standing::Guarded(Box::new(subjects));
        let call = Self { idempotency, standing, participant: None };
        (Arriving { call, body: Some(tap) }, Request::from_parts(parts, body))
    }

    /// The handler writes in a transaction of this one's.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn in_transaction_of(mut self, participant: Arc<dyn Participant>) -> Self {
        self.participant = Some(participant);
        self
    }

    /// Whether there is anything to guard, and so any use for the attribute's expressions.
    pub fn is_guarded(&self) -> bool {
        matches!(self.standing, Standing::Guarded(_))
    }

    fn subjects(&mut self) -> Option<&mut Subjects> {
        match &mut self.standing {
            Standing::Guarded(subjects) => Some(subjects),
            _ => None,
        }
    }

    /// `key = EXPR`. What comes to nothing is no key: it would be one for all requests that have none.
    pub fn key(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(subjects) = self.subjects() {
            // No header can spell this, so the two kinds of keys of one caller never meet.
            let is_absent = part.presence() == Presence::Absent;
            subjects.key = (!is_absent).then(|| format!("{MARK}{}", digest("key", part)));
        }
    }

    /// `principal = EXPR`. One that is there in part would be everybody's who lacks that part.
    pub fn principal(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(subjects) = self.subjects() {
            let is_present = part.presence() == Presence::Present;
            subjects.principal = if is_present { Ok(digest("principal", part)) } else { Err(Unidentified::Absent) };
        }
    }

    /// Whether a request that could be guarded has come without a key.
    pub fn lacks_key(&self) -> bool {
        matches!(&self.standing, Standing::Guarded(subjects) if subjects.key.is_none())
    }

    /// `fingerprint = EXPR`: what stands for the body and the query. Method and path are always compared, so that a key
    /// never answers for another operation.
    pub fn fingerprint(&mut self, part: &(impl KeyPart + ?Sized)) {
        if let Some(subjects) = self.subjects() {
            let mut hasher = PartHasher::new("fingerprint");
            (subjects.method.as_str(), subjects.uri.path()).feed(&mut hasher);
            part.feed(&mut hasher);
            subjects.request_hash = hasher.finish();
        }
    }

    /// Guards the handler: everything between the extractors and the response.
    pub async fn run(self, options: Options, handler: Work) -> Response {
        let Guarded { idempotency, claim, policy, subject, slot, keep } = match self.judge(&options) {
            Judged::Unguarded(_) => return handler.await,
            Judged::Answered(response) => return response,
            Judged::Guarded(guarded) => guarded,
        };
        let observe = observer(&idempotency, subject);
        let work = move |hold: &Hold| {
            slot.fill(hold.clone());
            let span = subject.span(hold);
            async move { keep.settle(handler.await).await }.instrument(span)
        };
        let answered = idempotency.engine().guard(claim, policy, observe, work).await;
        respond(&idempotency, answered, &subject)
    }

    /// Runs the handler in a transaction: the one that claims its key and records its outcome, or, where nothing is
    /// guarded, one of its own.
    pub async fn run_in_transaction(self, options: Options, mut attempts: Attempts) -> Response {
        let Some(participant) = self.participant.clone() else {
            error!("a handler with `transaction` has no transaction to run in");
            return answer(&self.idempotency, Problem::NoReservation);
        };
        let terms = |lease| TransactionOptions {
            isolation: options.isolation,
            retries: options.retries,
            keep_all: options.commit_all,
            deadline: lease,
        };
        let Guarded { idempotency, claim, policy, subject, slot, keep } = match self.judge(&options) {
            Judged::Unguarded(idempotency) => {
                let deadline = options.lease.unwrap_or(idempotency.settings().lease).max(SHORTEST_LEASE);
                let keep = Keep { idempotency: idempotency.clone(), success_only: false };
                let work = Box::new(move || keep.clone().settling(attempts.next()));
                let answered = participant.unguarded(idempotency.engine(), terms(deadline), work).await;
                return respond(&idempotency, answered, &Subject::of("", ""));
            }
            Judged::Answered(response) => return response,
            Judged::Guarded(guarded) => guarded,
        };
        let observe = Box::new(observer(&idempotency, subject));
        let work = Box::new(move |hold: &Hold| {
            slot.fill(hold.clone());
            let settling = keep.clone().settling(attempts.next()).instrument(subject.span(hold));
            Box::pin(settling) as Settling
        });
        let terms = terms(claim.lease);
        let answered = participant.guarded(idempotency.engine(), claim, policy, terms, observe, work).await;
        respond(&idempotency, answered, &subject)
    }

    /// Whether there is anything to guard, and what.
    fn judge(self, options: &Options) -> Judged {
        let Self { idempotency, standing, .. } = self;
        let subjects = match standing {
            Standing::NotNeeded => return Judged::Unguarded(idempotency),
            Standing::KeyMissing if options.optional => return Judged::Unguarded(idempotency),
            Standing::KeyMissing => return Judged::Answered(answer(&idempotency, Problem::KeyMissing)),
            Standing::KeyMalformed(mistake) => {
                return Judged::Answered(answer(&idempotency, Problem::KeyInvalid(mistake)));
            }
            Standing::Guarded(subjects) => subjects,
        };
        let Subjects { key, principal, request_hash, slot, .. } = *subjects;
        let Some(key) = key else {
            // An argument that still has the reservation would have nothing to tell.
            if options.optional && !slot.is_lent() {
                return Judged::Unguarded(idempotency);
            }
            return Judged::Answered(answer(&idempotency, Problem::KeyAbsent));
        };
        let settings = idempotency.settings();
        let principal = match principal {
            Ok(principal) => within(settings.namespace.as_deref(), principal),
            Err(why) => {
                why.log();
                return Judged::Answered(answer(&idempotency, Problem::CallerUnknown));
            }
        };
        let subject = Subject::of(&principal, &key);
        let retention = options.ttl.unwrap_or(settings.ttl);
        let lease = options.lease.unwrap_or(settings.lease).max(SHORTEST_LEASE).min(retention);
        let claim = OwnedClaim { id: RecordId::new(&principal, &key), request_hash, lease, retention };
        let policy = Policy {
            patience: settings.store_timeout,
            wait: options.wait.unwrap_or_default(),
            run_unreserved: options.run_on_store_error.unwrap_or(settings.on_store_error == OnStoreError::Run),
        };
        let keep = Keep { idempotency: idempotency.clone(), success_only: options.record_success };
        Judged::Guarded(Guarded { idempotency, claim, policy, subject, slot, keep })
    }
}

// It is taken apart where it is made.
#[allow(clippy::large_enum_variant)]
enum Judged {
    Unguarded(Idempotency),
    Answered(Response),
    Guarded(Guarded),
}

/// A request that is to be guarded.
struct Guarded {
    idempotency: Idempotency,
    claim: OwnedClaim,
    policy: Policy,
    subject: Subject,
    slot: Slot,
    keep: Keep,
}

fn observer(idempotency: &Idempotency, subject: Subject) -> impl Fn(Step, &Hold) + Send + Sync + 'static {
    let idempotency = idempotency.clone();
    move |step, hold| idempotency.tell(&subject.event(EventKind::from(step)).of_attempt(hold.attempt))
}

/// What is to be kept of a handler's response.
#[derive(Clone)]
struct Keep {
    idempotency: Idempotency,
    success_only: bool,
}

impl Keep {
    fn settling(self, handler: Work) -> Settling {
        Box::pin(async move { self.settle(handler.await).await })
    }

    async fn settle(self, mut response: Response) -> Settled<Response> {
        unmark(response.headers_mut());
        let unrecorded = response.extensions_mut().remove::<Unrecorded>().is_some();
        let failure = failure(&mut response);
        let status = response.status();
        if unrecorded || (self.success_only && !(status.is_success() || status.is_redirection())) {
            return Settled { disposition: Disposition::Release, reply: response.map(harmless), failure };
        }
        let settings = self.idempotency.settings();
        match capture(response, settings.max_response_bytes).await {
            Captured::Whole(head, body) => {
                let headers = settings.omitted_headers.encode(head.headers());
                let disposition =
                    Disposition::Record(Outcome { code: status.as_u16(), metadata: headers, body: body.clone() });
                Settled { disposition, reply: head.map(|()| body.into()), failure }
            }
            Captured::Unkept(reply, why) => {
                warn!(
                    ?why,
                    status = status.as_u16(),
                    "idempotent response cannot be replayed; a retry is answered 409"
                );
                let (head, body) = tombstone(status.as_u16(), settings.documentation.as_deref()).into_parts();
                let headers = encode_headers(&head.headers);
                let outcome = Outcome { code: head.status.as_u16(), metadata: headers, body: body.into() };
                let disposition = Disposition::Record(outcome);
                Settled { disposition, reply, failure }
            }
        }
    }
}

/// What a response says about a failure of its handler.
fn failure(response: &mut Response) -> Option<Failure> {
    let cause = response.extensions_mut().remove::<Cause>();
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match cause {
        Some(Cause::Transient) => Failure::Transient,
        None if status.is_server_error() => Failure::Unknown,
        Some(Cause::Other) | None => Failure::Deliberate,
    })
}

/// The response to whatever became of the request. What the engine did not see as a step is told here.
fn respond(idempotency: &Idempotency, answered: Answer<Response>, subject: &Subject) -> Response {
    let tell = |outcome| idempotency.tell(&subject.event(outcome));
    let problem = match answered {
        Answer::Ran(response) => return response,
        Answer::Replay(record) => {
            let created_at = record.created_at;
            match replay(Arc::clone(&record)) {
                Ok(response) => {
                    let outcome = EventKind::Replayed { status: response.status() };
                    idempotency.tell(&subject.event(outcome).since(created_at));
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
    answer(idempotency, problem)
}

fn answer(idempotency: &Idempotency, problem: Problem) -> Response {
    problem.into_response(idempotency.settings().documentation.as_deref())
}
