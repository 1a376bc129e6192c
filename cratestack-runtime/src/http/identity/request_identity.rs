use http::request::Parts;
use http::{Method, Uri};

use super::fingerprint::original_uri;
use super::principal::{Identify, Unidentified, caller};
use crate::handle::{KeyPart, MARK, PartHasher, Presence, digest, of_expression};
use crate::util::ShortText;

/// What a request is known by: as the request has it, until the attribute's expressions say otherwise.
#[derive(Debug)]
pub(crate) struct RequestIdentity {
    pub(crate) key: Option<ShortText>,
    pub(crate) principal: Result<ShortText, Unidentified>,
    pub(crate) request_hash: [u8; 32],
    /// An expression has said who the caller is.
    pub(crate) has_own_principal: bool,
    /// An expression has said what must match, and the body does not count.
    pub(crate) has_own_fingerprint: bool,
    method: Method,
    uri: Uri,
}

impl RequestIdentity {
    /// Of a request whose body has yet to be read, and whose hash is to be filled in then.
    pub(crate) fn of(parts: &Parts, key: Option<ShortText>, identify: Option<&Identify>) -> Self {
        Self {
            key,
            principal: caller(identify, parts),
            request_hash: [0; 32],
            has_own_principal: false,
            has_own_fingerprint: false,
            method: parts.method.clone(),
            uri: original_uri(parts).clone(),
        }
    }

    /// Takes the caller from a function of the handle's, which became known late.
    pub(crate) fn identify(&mut self, parts: &Parts, identify: &Identify) {
        self.principal = caller(Some(identify), parts);
    }

    /// What comes to nothing is no key: it would be one for all requests that have none.
    pub(crate) fn set_key(&mut self, part: &(impl KeyPart + ?Sized)) {
        // No header can spell this, so the two kinds of keys of one caller never meet.
        self.key = key_of(part).map(ShortText::from);
    }

    /// A principal that is there in part would be everybody's who lacks that part.
    pub(crate) fn set_principal(&mut self, part: &(impl KeyPart + ?Sized)) {
        let is_present = part.presence() == Presence::Present;
        self.has_own_principal = true;
        self.principal = if is_present { Ok(of_expression(part).into()) } else { Err(Unidentified::Absent) };
    }

    /// The part stands for the body and the query. Method and path are always compared, so that a key never answers for
    /// another operation.
    pub(crate) fn set_fingerprint(&mut self, part: &(impl KeyPart + ?Sized)) {
        let mut hasher = PartHasher::new("fingerprint");
        (self.method.as_str(), self.uri.path()).feed(&mut hasher);
        part.feed(&mut hasher);
        self.has_own_fingerprint = true;
        self.request_hash = hasher.finish();
    }
}

/// A key that a service makes itself; `None` where it comes to nothing.
pub(crate) fn key_of(part: &(impl KeyPart + ?Sized)) -> Option<String> {
    let is_absent = part.presence() == Presence::Absent;
    (!is_absent).then(|| format!("{MARK}{}", digest("key", part)))
}

/// The key under which a run guards itself beside another that has `key`. No header can spell it.
pub(crate) fn key_below(key: &str) -> String {
    format!("{MARK}{}", digest("key below another guard", key))
}
