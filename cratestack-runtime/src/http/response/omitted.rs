use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName};
use tracing::warn;

use super::headers::encode_headers_where;

/// What hands a secret to one session, or challenges one, by its own definition. A record lies in a table for as long
/// as its `ttl`, and is replayed to whichever session of its caller repeats the request.
static SECRETS: [HeaderName; 10] = [
    // RFC 6265, 4.1, and RFC 2965, 3.2.2.
    SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    // RFC 9110, 11.6.1, and RFC 8053, 3: a challenge may hold a nonce for the next request, or a handshake's token.
    WWW_AUTHENTICATE,
    HeaderName::from_static("optional-www-authenticate"),
    // RFC 9110, 11.6.3: the next nonce, and the server's proof that it knows the secret too.
    HeaderName::from_static("authentication-info"),
    // RFC 9449, 8.1: a nonce for one client's next proof.
    HeaderName::from_static("dpop-nonce"),
    // No response fields by any standard, but the names under which services hand out a session's token.
    AUTHORIZATION,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("x-xsrf-token"),
];

/// The response headers that are sent but not recorded.
#[derive(Debug, Clone)]
pub(crate) struct OmittedHeaders(Vec<Omitted>);

#[derive(Debug, Clone)]
struct Omitted {
    name: HeaderName,
    /// Whether the log says so already; `None` where nobody needs to be told, because it was asked for.
    logged: Option<Arc<AtomicBool>>,
}

impl Default for OmittedHeaders {
    fn default() -> Self {
        Self(SECRETS.iter().map(|name| Omitted { name: name.clone(), logged: Some(Arc::default()) }).collect())
    }
}

impl OmittedHeaders {
    /// The blob of a response's headers without these.
    pub(crate) fn encode(&self, headers: &HeaderMap) -> Vec<u8> {
        encode_headers_where(headers, |name| {
            let omitted = self.0.iter().find(|omitted| omitted.name == *name);
            omitted.inspect(|omitted| omitted.log()).is_none()
        })
    }

    pub(crate) fn omit(&mut self, name: HeaderName) {
        self.record(&name);
        self.0.push(Omitted { name, logged: None });
    }

    pub(crate) fn record(&mut self, name: &HeaderName) {
        self.0.retain(|omitted| omitted.name != *name);
    }
}

impl Omitted {
    fn log(&self) {
        if self.logged.as_ref().is_some_and(|logged| !logged.swap(true, Ordering::Relaxed)) {
            warn!(
                header = %self.name,
                "a response header that carries a session's secret was sent but not recorded, so its replays are without \
                 it. `Idempotency::record_header` records it; `Idempotency::omit_header` says that this is meant"
            );
        }
    }
}
