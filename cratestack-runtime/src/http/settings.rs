use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

use super::identity::Identify;
use super::response::{OmittedHeaders, valid_documentation};
use crate::handle::Idempotency;

/// What applies to all handlers behind this door, beside the handle's own settings.
#[derive(Clone, Default)]
pub(super) struct HttpSettings {
    pub(super) max_request_bytes: Option<usize>,
    pub(super) max_response_bytes: Option<usize>,
    pub(super) principal: Option<Arc<Identify>>,
    pub(super) documentation_url: Option<Arc<str>>,
    pub(super) omitted_headers: OmittedHeaders,
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
