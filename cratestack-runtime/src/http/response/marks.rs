use http::header::{
    ALLOW, CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::NOT_STORED;

/// Marks a response as the recorded one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Marks a record whose response is not the handler's own, but a problem that stands in for it.
pub(super) const TOMBSTONE: HeaderName = HeaderName::from_static("idempotency-tombstone");

const TRUE: HeaderValue = HeaderValue::from_static("true");

/// What clients and caches go by in a handler's response. A mark of such a name would be cut from it.
static OF_HANDLERS: [HeaderName; 11] = [
    ALLOW,
    CACHE_CONTROL,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LINK,
    LOCATION,
    RETRY_AFTER,
    SET_COOKIE,
    VARY,
    WWW_AUTHENTICATE,
];

/// The headers by which the library says what a response is. They are its own: a handler's response that bears one, as
/// that of a gateway to another service like this may, goes out and is recorded without it. It would pose as a replay,
/// or its replay as a first answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// Further names for the first mark.
    aliases: Vec<HeaderName>,
}

impl Marks {
    /// Gives a name back that has a meaning of its own, and so cannot be a mark as well.
    pub(crate) fn add_alias(&mut self, name: HeaderName) -> Result<(), HeaderName> {
        let is_known = NOT_STORED.contains(&name) || OF_HANDLERS.contains(&name);
        if name == TOMBSTONE || is_known || name.as_str().starts_with("content-") {
            return Err(name);
        }
        if name != REPLAYED && !self.aliases.contains(&name) {
            self.aliases.push(name);
        }
        Ok(())
    }

    pub(crate) fn remove_from(&self, headers: &mut HeaderMap) {
        headers.remove(REPLAYED);
        headers.remove(TOMBSTONE);
        for alias in &self.aliases {
            headers.remove(alias);
        }
    }

    /// The response is a replay, whatever its record says.
    pub(super) fn mark_replay(&self, headers: &mut HeaderMap) {
        headers.insert(REPLAYED, TRUE);
        for alias in &self.aliases {
            headers.insert(alias, TRUE);
        }
    }
}
