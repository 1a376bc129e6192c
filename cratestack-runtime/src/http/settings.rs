use std::sync::Arc;

use axum::response::IntoResponse;
use http::HeaderName;
use http::request::Parts;

use super::identity::Identify;
use super::response::{Marks, OmittedHeaders, Problem, Shape, valid_documentation};
use super::second_guard::SecondGuard;
use crate::handle::Idempotency;

/// What applies to all handlers behind this door, beside the handle's own settings.
#[derive(Clone, Default)]
pub(super) struct HttpSettings {
    pub(super) max_request_bytes: Option<usize>,
    pub(super) max_response_bytes: Option<usize>,
    pub(super) principal: Option<Arc<Identify>>,
    pub(super) documentation_url: Option<Arc<str>>,
    pub(super) omitted_headers: OmittedHeaders,
    pub(super) marks: Marks,
    pub(super) problems: Option<Arc<Shape>>,
    pub(super) second_guard: SecondGuard,
}

/// What only HTTP needs.
impl<S: ?Sized> Idempotency<S> {
    /// The bound on a guarded request's body, in bytes; a larger one is answered 413 and reserves nothing.
    ///
    /// Default: what axum's [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) says for the route, which is 2 MiB
    /// unless it was set; where it was disabled, [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES), because a body must be read
    /// whole to be compared. A bound set here replaces axum's for guarded handlers, so that the two always agree. Who
    /// may not call is told that first: nothing of a body is read before the extractors that need none of it have run.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_request_bytes(64 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_request_bytes(self, bytes: usize) -> Self {
        self.set_http(|settings| settings.max_request_bytes = Some(bytes))
    }

    /// The bound on a recorded response's body, in bytes. Default: [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES).
    ///
    /// A larger response goes out unharmed but is not recorded: a retry does not run the handler again, it is answered
    /// 409 with the code `idempotency_response_not_replayable`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).max_response_bytes(256 * 1024);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn max_response_bytes(self, bytes: usize) -> Self {
        self.set_http(|settings| settings.max_response_bytes = Some(bytes))
    }

    /// Who the caller of a request is, instead of its `Authorization` header or IP address.
    ///
    /// Keys of different callers never meet. Use what was verified (a session, a client certificate), never a header
    /// that a client can choose freely. `None`, or an empty name, refuses a request that has a key with a 500, because
    /// a caller that nobody knows must not share another's keys. `principal = …` of a handler replaces the answer.
    ///
    /// The name is stored as it is, so hash what must not be readable in the table. Three kinds of names are stored as
    /// digests: those of more than 255 bytes or with a NUL; those that could be taken for another caller's digest,
    /// which are exactly 64 lower-case hexadecimal digits; and those with a `→`. A hash that is to be found in the
    /// table again bears a prefix, such as `user:`.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// #[derive(Clone)]
    /// struct Tenant(u64); // put into the extensions by an authentication layer
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .principal(|request| request.extensions.get::<Tenant>().map(|tenant| format!("tenant:{}", tenant.0)));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn principal(self, caller: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.set_http(|settings| settings.principal = Some(Arc::new(caller)))
    }

    /// Where this service documents its use of idempotency keys. Problem responses then link to it
    /// (`rel="describedby"`), and their `type` is the address with the problem's code as its fragment.
    ///
    /// An address that cannot stand in a `Link` header is ignored, with a warning in the log.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// let idempotency = Idempotency::new(MemoryStore::new()).documentation_url("https://docs.example.com/idempotency");
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn documentation_url(self, address: impl AsRef<str>) -> Self {
        let address = address.as_ref();
        if !valid_documentation(address) {
            tracing::warn!("the idempotency documentation address is not a URI that a Link header can carry; ignored");
            return self;
        }
        self.set_http(|settings| settings.documentation_url = Some(Arc::from(address)))
    }

    /// Says what a client gets in place of a problem's default form, so that all errors of a service look alike.
    ///
    /// Body, content type and further headers are the function's. What clients and caches rely on stays, whatever it
    /// returns:
    ///
    /// - The status is the problem's own, unless the function says that of another error: one below 400 is replaced, so
    ///   a body alone will do, and nobody takes a problem for a success.
    /// - `Retry-After`, `Vary: Accept` and the `Link` of [`documentation_url`](Self::documentation_url) are added where
    ///   they are missing, and `Cache-Control` is `no-store`.
    /// - Marks of a replay are taken out.
    ///
    /// To keep the page for persons, give back the problem itself where [`Problem::prefers_html`] says so. A function
    /// that panics is as good as none, with a line in the log. It is called on the request's task, so it must not
    /// block. What an extractor rejects, and what a handler answers, are not problems of ours and do not come here.
    ///
    /// ```
    /// use axum::Json;
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    /// use serde_json::json;
    ///
    /// // As clients of Stripe's protocol expect it: the error is an object in `error`.
    /// let idempotency = Idempotency::new(MemoryStore::new()).problems(|problem| {
    ///     let error = json!({ "type": "idempotency_error", "code": problem.code(), "message": problem.detail() });
    ///     (problem.status(), Json(json!({ "error": error })))
    /// });
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn problems<R: IntoResponse>(self, shape: impl Fn(Problem) -> R + Send + Sync + 'static) -> Self {
        self.set_http(|settings| settings.problems = Some(Arc::new(move |problem| shape(problem).into_response())))
    }

    /// Marks replays with one more header, of the value `true`, beside `Idempotency-Replayed`: for clients that know
    /// the mark by another name. Stripe's is `Idempotent-Replayed`.
    ///
    /// Like the mark itself, the header is then the library's own: it is cut from what a handler returns, so that no
    /// first answer poses as a replay. So take a name that nothing else uses. A name of HTTP's, such as `content-type`,
    /// `set-cookie` or `cache-control`, is ignored, with a warning in the log.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// use axum::http::HeaderName;
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .mark_replays_with(HeaderName::from_static("idempotent-replayed"));
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn mark_replays_with(self, name: HeaderName) -> Self {
        self.set_http(|settings| {
            if let Err(name) = settings.marks.add_alias(name) {
                tracing::warn!(%name, "this header has a meaning of its own and cannot mark replays as well; ignored");
            }
        })
    }

    /// Does not record a response header: the first answer has it, its replays do not.
    ///
    /// By default those are omitted that carry a session's secret. A record lies in a table for as long as its `ttl`,
    /// and is replayed to whoever repeats the request: the same caller, but maybe another of its sessions.
    ///
    /// - `set-cookie`, `set-cookie2`;
    /// - `www-authenticate`, `optional-www-authenticate`, `authentication-info`, `dpop-nonce`: challenges and nonces
    ///   are for one exchange;
    /// - `authorization`, `x-auth-token`, `x-csrf-token`, `x-xsrf-token`: the names under which services hand out
    ///   tokens.
    ///
    /// `proxy-authenticate` and `proxy-authentication-info` are never recorded, because they are for one connection, as
    /// everything is that [`encode_headers`](crate::encode_headers) leaves out. Whatever of the default list was left
    /// out is told to the log once, by its name, unless it was asked for here. A header of your own that carries a
    /// secret, such as a `location` with a token in it, is for you to add. Records that are there already are replayed
    /// as they are.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// use axum::http::{HeaderName, header};
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new())
    ///     .omit_header(HeaderName::from_static("x-session-key"))
    ///     // Omitted anyway, but now the log need not say so.
    ///     .omit_header(header::SET_COOKIE);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    pub fn omit_header(self, name: HeaderName) -> Self {
        self.set_http(|settings| settings.omitted_headers.omit(name))
    }

    /// Records a response header that is omitted by default (see [`omit_header`](Self::omit_header)), because it is
    /// part of the outcome and holds nothing that another session of the same caller must not see.
    ///
    /// ```
    /// # use cratestack_runtime::{Idempotency, MemoryStore};
    /// use axum::http::header;
    ///
    /// // This service's cookies remember a language.
    /// let idempotency = Idempotency::new(MemoryStore::new()).record_header(header::SET_COOKIE);
    /// # let _ = idempotency;
    /// ```
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // As `omit_header` has it.
    pub fn record_header(self, name: HeaderName) -> Self {
        self.set_http(|settings| settings.omitted_headers.record(&name))
    }

    pub(super) fn http(&self) -> &HttpSettings {
        self.settings().doors.get()
    }

    fn set_http(self, change: impl FnOnce(&mut HttpSettings)) -> Self {
        self.set(|settings| settings.doors.update(change))
    }
}
