use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::accept::Representation;
use super::documentation::valid_documentation;
use super::problem_kind::{Description, ProblemKind, Retry};

/// An answer of the library's own in a handler's place: the request was refused, or the handler's answer cannot be
/// told.
///
/// [`Idempotency::problems`](crate::Idempotency::problems) gives one to a function of the service's, which says what
/// the client gets. As a response it is what the client gets by default: `application/problem+json` (RFC 9457), or a
/// page for a person where the request's `Accept` prefers HTML. Every problem, with its code, its status and whether
/// and when to send the request again, is in `docs/http.md` of the repository.
///
/// ```
/// use axum::Json;
/// use axum::response::{IntoResponse, Response};
/// use cratestack_runtime::Problem;
/// use serde_json::json;
///
/// /// As the other errors of this service are.
/// fn error(problem: Problem) -> Response {
///     if problem.prefers_html() {
///         return problem.into_response();
///     }
///     let error = json!({ "type": "idempotency_error", "code": problem.code(), "message": problem.detail() });
///     (problem.status(), Json(json!({ "error": error }))).into_response()
/// }
///
/// let store = cratestack_runtime::MemoryStore::new();
/// let idempotency = cratestack_runtime::Idempotency::new(store).problems(error);
/// # let _ = idempotency;
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    documentation_url: Option<Arc<str>>,
    representation: Representation,
}

impl Problem {
    /// An address that [`valid_documentation`] refuses is left out.
    pub(crate) fn new(kind: ProblemKind, documentation_url: Option<Arc<str>>, representation: Representation) -> Self {
        let documentation_url = documentation_url.filter(|address| valid_documentation(address));
        Self { kind, documentation_url, representation }
    }

    /// One that no handle has a say in, to the request that has these headers.
    pub(crate) fn without_handle(kind: ProblemKind, headers: &HeaderMap) -> Self {
        Self::new(kind, None, Representation::asked_for_by(headers))
    }

    /// What went wrong, such as `idempotency_key_conflict`. It is stable, and what a program decides by.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// The status of the answer, from 400 on.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// What went wrong, in a few words for a person. They may change with any release.
    pub fn title(&self) -> &'static str {
        self.describe().title
    }

    /// What went wrong, and what to do, in whole sentences for a person. They may change with any release. Nothing of
    /// the request is in them.
    pub fn detail(&self) -> Cow<'static, str> {
        self.describe().detail
    }

    /// Whether a program may send the same request again, under the same key, without asking anybody: that may get
    /// another answer, and what this attempt did is not done twice.
    pub fn retryable(&self) -> bool {
        matches!(self.retry(), Retry::AtOnce | Retry::After(_))
    }

    /// How long to wait before the request is sent again, as `Retry-After` says it. A [retryable](Self::retryable)
    /// problem without it can be sent again at once.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.retry() {
            Retry::After(seconds) => Some(Duration::from_secs(seconds)),
            Retry::AtOnce | Retry::OnceMended | Retry::OnceLookedInto => None,
        }
    }

    /// The status that the handler answered, of a request that was executed and whose response was not kept.
    pub fn original_status(&self) -> Option<StatusCode> {
        match self.kind {
            ProblemKind::ResponseNotReplayable { original_status } => StatusCode::from_u16(original_status).ok(),
            _ => None,
        }
    }

    /// The address that [`Idempotency::documentation_url`](crate::Idempotency::documentation_url) has, to which the
    /// code is the fragment.
    pub fn documentation_url(&self) -> Option<&str> {
        self.documentation_url.as_deref()
    }

    /// Whether the request's `Accept` prefers `text/html` to JSON, as that of a browser does that opens a page or sends
    /// a form.
    pub fn prefers_html(&self) -> bool {
        self.representation == Representation::Html
    }

    pub(super) fn describe(&self) -> Description {
        self.kind.describe()
    }

    pub(super) fn retry(&self) -> Retry {
        self.kind.retry()
    }
}
